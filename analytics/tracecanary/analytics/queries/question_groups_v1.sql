-- Sums of each metric by stratum and cluster group: what rates and means are compared from.
-- Values are added up in order: otherwise the order of rows in the lake would decide a last digit.
-- grain: cohort, arm, stratum, metric, evaluator, g   params: none   reads: question_metric_values, question_strata
SELECT
    question_strata.cohort_name AS cohort,
    question_strata.arm_name AS arm,
    question_strata.stratum,
    question_metric_values.metric,
    question_metric_values.evaluator,
    question_strata.g,
    count(*) AS n,
    sum(question_metric_values.value ORDER BY question_metric_values.value) AS total,
    sum(question_metric_values.value * question_metric_values.value ORDER BY question_metric_values.value) AS total_sq,
    sum(
        question_metric_values.value * question_metric_values.value * question_metric_values.value
        ORDER BY question_metric_values.value
    ) AS total_cube
FROM question_metric_values
INNER JOIN question_strata ON question_metric_values.trace_id = question_strata.trace_id
WHERE question_metric_values.metric != 'latency'
GROUP BY
    question_strata.cohort_name, question_strata.arm_name, question_strata.stratum, question_metric_values.metric,
    question_metric_values.evaluator, question_strata.g
ORDER BY cohort, arm, question_strata.stratum, question_metric_values.metric, question_metric_values.evaluator, question_strata.g
