-- Sufficient statistics of each metric by cohort and arm: sums, so that cohorts can be added up.
-- grain: cohort_name, arm_name, metric, evaluator   params: none   reads: question_metric_values
SELECT
    cohort_name,
    arm_name,
    metric,
    evaluator,
    count(*) AS n,
    sum(value) AS total,
    sum(value * value) AS total_of_squares
FROM question_metric_values
WHERE metric != 'latency'
GROUP BY cohort_name, arm_name, metric, evaluator
ORDER BY cohort_name, arm_name, metric, evaluator
