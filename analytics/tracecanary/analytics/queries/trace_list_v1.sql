-- Traces to look at, newest first, each with what is known of it.
-- grain: trace_id
-- params: $from_ns, $to_ns BIGINT (from inclusive, to exclusive); $most INTEGER; $state VARCHAR: any, failed (by an
--         evaluator), error, tool_error, retried, fell_back, thumbs_down, escalated or contaminated (several models asked)
-- reads: question_keys, live_facts
SELECT
    live_facts.trace_id,
    live_facts.start_unix_ns,
    question_keys.arm_name,
    question_keys.cohort_name,
    live_facts.models,
    live_facts.duration_ns,
    live_facts.latency_source,
    live_facts.cost_nano_usd,
    live_facts.cost_source,
    live_facts.judge_cost_nano_usd,
    live_facts.input_tokens,
    live_facts.output_tokens,
    live_facts.steps,
    live_facts.llm_calls,
    live_facts.llm_errors,
    live_facts.tool_calls,
    live_facts.tool_errors,
    live_facts.retries,
    live_facts.is_fallback,
    live_facts.is_error,
    live_facts.error_class,
    live_facts.is_thumbs_down,
    live_facts.is_escalated,
    list_transform(list_filter(live_facts.outcomes, lambda outcome: outcome.has_failed), lambda outcome: outcome.evaluator)
        AS failed_by
FROM live_facts
INNER JOIN question_keys ON live_facts.rollup_key = question_keys.rollup_key
WHERE
    live_facts.start_unix_ns >= $from_ns
    AND live_facts.start_unix_ns < $to_ns
    AND CASE $state
        WHEN 'failed' THEN len(list_filter(live_facts.outcomes, lambda outcome: outcome.has_failed)) > 0
        WHEN 'error' THEN live_facts.is_error
        WHEN 'tool_error' THEN live_facts.tool_errors > 0
        WHEN 'retried' THEN live_facts.retries > 0
        WHEN 'fell_back' THEN live_facts.is_fallback
        WHEN 'thumbs_down' THEN live_facts.is_thumbs_down
        WHEN 'escalated' THEN live_facts.is_escalated
        WHEN 'contaminated' THEN len(live_facts.models) > 1
        ELSE TRUE
    END
ORDER BY live_facts.start_unix_ns DESC, live_facts.trace_id
LIMIT $most
