-- Sufficient statistics of each metric by cohort and arm: sums, so that cohorts can be added up.
-- Values are added up in order: otherwise the order of rows in the lake would decide a last digit.
-- grain: cohort_name, arm_name, metric, evaluator   params: none   reads: question_metric_values
SELECT
    cohort_name,
    arm_name,
    metric,
    evaluator,
    count(*) AS n,
    sum(value ORDER BY value) AS total,
    sum(value * value ORDER BY value) AS total_of_squares
FROM question_metric_values
WHERE metric != 'latency'
GROUP BY cohort_name, arm_name, metric, evaluator
ORDER BY cohort_name, arm_name, metric, evaluator
