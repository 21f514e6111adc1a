-- One row per trace and metric it has a value for, larger is worse: a rate is 0 or 1, latency is in s, cost in USD.
-- A trace that would show a retry or fallback and has none counts as 0; one that would not has no row.
-- Feedback is only recorded when it happens: once any trace of the question records some, the others count as 0; where
-- none does, nothing is known and there is no row.
-- grain: trace_id, metric, evaluator   params: none   reads: question_traces, trace_evaluations, trace_feedback
WITH traces AS (
    SELECT
        question_traces.*,
        trace_feedback.is_thumbs_down,
        trace_feedback.is_escalated,
        bool_or(trace_feedback.is_thumbs_down IS NOT NULL) OVER () AS records_thumbs,
        bool_or(trace_feedback.is_escalated IS NOT NULL) OVER () AS records_escalations
    FROM question_traces
    LEFT JOIN trace_feedback ON question_traces.trace_id = trace_feedback.trace_id
),
judged AS (
    SELECT
        question_traces.*,
        trace_evaluations.has_failed,
        CASE WHEN count(DISTINCT trace_evaluations.version) OVER (PARTITION BY trace_evaluations.evaluator) > 1
            THEN concat(trace_evaluations.evaluator, '@', trace_evaluations.version)
            ELSE trace_evaluations.evaluator END AS evaluator
    FROM question_traces
    INNER JOIN trace_evaluations ON question_traces.trace_id = trace_evaluations.trace_id
),
metric_values AS (
    SELECT trace_id, arm_name, cohort_name, start_unix_ns, 'eval_fail_rate' AS metric, evaluator,
        CAST(has_failed AS DOUBLE) AS value
    FROM judged
    UNION ALL
    SELECT trace_id, arm_name, cohort_name, start_unix_ns, 'error_rate', NULL, CAST(is_error AS DOUBLE)
    FROM traces
    UNION ALL
    SELECT trace_id, arm_name, cohort_name, start_unix_ns, 'tool_error_rate', NULL, CAST(tool_errors > 0 AS DOUBLE)
    FROM traces
    UNION ALL
    SELECT trace_id, arm_name, cohort_name, start_unix_ns, 'latency', NULL, duration_ns / 1e9
    FROM traces
    UNION ALL
    SELECT trace_id, arm_name, cohort_name, start_unix_ns, 'cost_per_trace', NULL, cost_nano_usd / 1e9
    FROM traces
    UNION ALL
    SELECT trace_id, arm_name, cohort_name, start_unix_ns, 'retry_rate', NULL,
        CASE WHEN can_show_retries THEN CAST(coalesce(retries, 0) > 0 AS DOUBLE) END
    FROM traces
    UNION ALL
    SELECT trace_id, arm_name, cohort_name, start_unix_ns, 'fallback_rate', NULL,
        CASE WHEN can_show_fallbacks THEN CAST(coalesce(is_fallback, FALSE) AS DOUBLE) END
    FROM traces
    UNION ALL
    SELECT trace_id, arm_name, cohort_name, start_unix_ns, 'thumbs_down_rate', NULL,
        CASE WHEN records_thumbs THEN CAST(coalesce(is_thumbs_down, FALSE) AS DOUBLE) END
    FROM traces
    UNION ALL
    SELECT trace_id, arm_name, cohort_name, start_unix_ns, 'escalation_rate', NULL,
        CASE WHEN records_escalations THEN CAST(coalesce(is_escalated, FALSE) AS DOUBLE) END
    FROM traces
    UNION ALL
    SELECT trace_id, arm_name, cohort_name, start_unix_ns, 'input_tokens', NULL, CAST(input_tokens AS DOUBLE)
    FROM traces
    UNION ALL
    SELECT trace_id, arm_name, cohort_name, start_unix_ns, 'output_tokens', NULL, CAST(output_tokens AS DOUBLE)
    FROM traces
    UNION ALL
    SELECT trace_id, arm_name, cohort_name, start_unix_ns, 'steps_per_trace', NULL, CAST(steps AS DOUBLE)
    FROM traces
    UNION ALL
    SELECT trace_id, arm_name, cohort_name, start_unix_ns, measure.key, NULL, measure.value / 1e6
    FROM (
        SELECT trace_id, arm_name, cohort_name, start_unix_ns, unnest(map_entries(measures)) AS measure
        FROM traces
        WHERE measures IS NOT NULL
    ) AS measured
)
SELECT * FROM metric_values WHERE value IS NOT NULL
