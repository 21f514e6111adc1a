-- A rate or mean over time from rollups: one row per bucket of $step_ns, arm and cohort that has traces with a value.
-- The same as series_v1 gives, for whole hours: without evaluators chosen, a trace has failed when any evaluator failed it.
-- grain: bucket_unix_ns, arm_name, cohort_name
-- params: $value_of VARCHAR (metric), $step_ns, $from_ns, $to_ns BIGINT (whole hours; from inclusive, to exclusive),
--         $is_by_cohort BOOLEAN
-- reads: question_keys, rollup_hours
WITH hours AS (
    SELECT question_keys.arm_name, question_keys.cohort_name, question_keys.instrumentation, question_keys.retry_source,
        question_keys.fallback_source, question_keys.has_llm_calls, rollup_hours.*
    FROM rollup_hours
    INNER JOIN question_keys ON rollup_hours.rollup_key = question_keys.rollup_key
    WHERE rollup_hours.hour_unix_ns >= $from_ns AND rollup_hours.hour_unix_ns < $to_ns AND rollup_hours.traces > 0
),
-- Whether a retry or fallback would be seen, and feedback recorded: as in question_traces_v1 and question_metric_values_v2.
told AS (
    SELECT
        hours.*,
        retry_source != 'none'
        OR coalesce(bool_or(retry_source = 'attribute' AND retried > 0) OVER (PARTITION BY instrumentation), FALSE)
        OR (has_llm_calls AND bool_or(retry_source = 'siblings') OVER ()) AS can_show_retries,
        fallback_source != 'none'
        OR coalesce(bool_or(fallback_source = 'attribute' AND fell_back > 0) OVER (PARTITION BY instrumentation), FALSE)
        OR (has_llm_calls AND bool_or(fallback_source = 'siblings') OVER ()) AS can_show_fallbacks,
        sum(thumbs_known) OVER () > 0 AS records_thumbs,
        sum(escalation_known) OVER () > 0 AS records_escalations
    FROM hours
),
measured AS (
    SELECT
        hour_unix_ns - hour_unix_ns % $step_ns AS bucket_unix_ns,
        arm_name,
        CASE WHEN $is_by_cohort THEN cohort_name END AS cohort_name,
        CASE $value_of
            WHEN 'eval_fail_rate' THEN judged
            WHEN 'cost_per_trace' THEN with_cost
            WHEN 'input_tokens' THEN input_tokens_known
            WHEN 'output_tokens' THEN output_tokens_known
            WHEN 'retry_rate' THEN CASE WHEN can_show_retries THEN traces ELSE 0 END
            WHEN 'fallback_rate' THEN CASE WHEN can_show_fallbacks THEN traces ELSE 0 END
            WHEN 'thumbs_down_rate' THEN CASE WHEN records_thumbs THEN traces ELSE 0 END
            WHEN 'escalation_rate' THEN CASE WHEN records_escalations THEN traces ELSE 0 END
            ELSE traces
        END AS n,
        CASE $value_of
            WHEN 'eval_fail_rate' THEN failed
            WHEN 'error_rate' THEN errors
            WHEN 'tool_error_rate' THEN with_tool_errors
            WHEN 'cost_per_trace' THEN cost_total
            WHEN 'input_tokens' THEN input_tokens_total
            WHEN 'output_tokens' THEN output_tokens_total
            WHEN 'steps_per_trace' THEN steps_total
            WHEN 'retry_rate' THEN retried
            WHEN 'fallback_rate' THEN fell_back
            WHEN 'thumbs_down_rate' THEN thumbs_down
            WHEN 'escalation_rate' THEN escalated
        END AS total
    FROM told
)
SELECT
    bucket_unix_ns,
    arm_name,
    cohort_name,
    sum(total) / sum(n) / CASE WHEN $value_of = 'cost_per_trace' THEN 1e9 ELSE 1.0 END AS value,
    CAST(sum(n) AS BIGINT) AS n
FROM measured
GROUP BY bucket_unix_ns, arm_name, cohort_name
HAVING sum(n) > 0
ORDER BY bucket_unix_ns, arm_name, cohort_name
