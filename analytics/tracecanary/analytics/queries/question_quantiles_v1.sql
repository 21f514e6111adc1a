-- Exact quantiles by arm and cohort, and by arm over all cohorts (cohort null): what is shown while the values are at hand.
-- grain: cohort, arm, metric   params: $metrics VARCHAR[]   reads: question_metric_values
SELECT
    cohort_name AS cohort,
    arm_name AS arm,
    metric,
    count(*) AS n,
    quantile_cont(value, 0.5) AS p50,
    quantile_cont(value, 0.95) AS p95,
    quantile_cont(value, 0.99) AS p99
FROM question_metric_values
WHERE list_contains($metrics, metric)
GROUP BY GROUPING SETS ((cohort_name, arm_name, metric), (arm_name, metric))
ORDER BY cohort, arm, metric
