-- Counts of values by logarithmic bucket: bucket b holds 2^(b/32) < value <= 2^((b+1)/32); null holds zeros.
-- grain: cohort, arm, stratum, metric, bucket   params: $metrics VARCHAR[]   reads: question_metric_values, question_strata
SELECT
    question_strata.cohort_name AS cohort,
    question_strata.arm_name AS arm,
    question_strata.stratum,
    question_metric_values.metric,
    CASE WHEN question_metric_values.value > 0
        THEN CAST(ceil(log2(question_metric_values.value) * 32) AS BIGINT) - 1 END AS bucket,
    count(*) AS n
FROM question_metric_values
INNER JOIN question_strata ON question_metric_values.trace_id = question_strata.trace_id
WHERE list_contains($metrics, question_metric_values.metric)
GROUP BY
    question_strata.cohort_name, question_strata.arm_name, question_strata.stratum, question_metric_values.metric,
    CASE WHEN question_metric_values.value > 0
        THEN CAST(ceil(log2(question_metric_values.value) * 32) AS BIGINT) - 1 END
ORDER BY cohort, arm, question_strata.stratum, question_metric_values.metric, bucket
