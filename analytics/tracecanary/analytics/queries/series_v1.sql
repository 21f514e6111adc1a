-- A metric over time: one row per bucket of $step_ns, arm and cohort that has traces; an empty bucket has no row.
-- A rate or mean is the mean of its values; a quantile is taken over the bucket's values. Without an evaluator chosen,
-- a trace has failed when any evaluator failed it.
-- grain: bucket_unix_ns, arm_name, cohort_name
-- params: $value_of VARCHAR (metric of question_metric_values), $quantile DOUBLE (null for a mean), $step_ns BIGINT,
--         $evaluators VARCHAR[] (empty: all; a name without '@' stands for all its versions; no matter for metrics
--         that no evaluator gives), $is_by_cohort BOOLEAN
-- reads: question_metric_values
WITH trace_values AS (
    SELECT
        trace_id,
        arm_name,
        CASE WHEN $is_by_cohort THEN cohort_name END AS cohort_name,
        start_unix_ns - start_unix_ns % $step_ns AS bucket_unix_ns,
        max(value) AS value
    FROM question_metric_values
    WHERE
        metric = $value_of
        AND (
            len($evaluators) = 0
            OR evaluator IS NULL
            OR list_contains($evaluators, evaluator)
            OR list_contains($evaluators, regexp_replace(evaluator, '@[^@]*$', ''))
        )
    GROUP BY trace_id, arm_name, cohort_name, start_unix_ns
)
SELECT
    bucket_unix_ns,
    arm_name,
    cohort_name,
    CASE WHEN $quantile IS NULL THEN avg(value) ELSE quantile_cont(value, coalesce($quantile, 0.5)) END AS value,
    count(*) AS n
FROM trace_values
GROUP BY bucket_unix_ns, arm_name, cohort_name
ORDER BY bucket_unix_ns, arm_name, cohort_name
