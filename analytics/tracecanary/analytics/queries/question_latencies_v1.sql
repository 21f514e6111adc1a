-- All latencies, ascending, by cohort and arm: exact quantiles need the values.
-- grain: cohort_name, arm_name   params: none   reads: question_metric_values
SELECT
    cohort_name,
    arm_name,
    list(value ORDER BY value) AS latencies_s
FROM question_metric_values
WHERE metric = 'latency'
GROUP BY cohort_name, arm_name
ORDER BY cohort_name, arm_name
