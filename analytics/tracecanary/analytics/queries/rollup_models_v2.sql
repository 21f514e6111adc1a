-- What all traces did with each model, by the day of its first call in the trace. Columns as in trace_models.
-- grain: day_unix_ns, model, is_judge, conventions   params: none   reads: new_trace_models, old_trace_models
SELECT
    first_start_unix_ns - first_start_unix_ns % 86400000000000 AS day_unix_ns,
    model,
    is_judge,
    conventions,
    CAST(sum(sign * traces) AS BIGINT) AS all_traces,
    CAST(sum(sign * llm_calls) AS BIGINT) AS all_llm_calls,
    CAST(sum(sign * llm_errors) AS BIGINT) AS all_llm_errors,
    CAST(sum(sign * input_tokens_known) AS BIGINT) AS all_input_tokens_known,
    CAST(sum(sign * input_tokens) AS BIGINT) AS all_input_tokens,
    CAST(sum(sign * output_tokens_known) AS BIGINT) AS all_output_tokens_known,
    CAST(sum(sign * output_tokens) AS BIGINT) AS all_output_tokens,
    CAST(sum(sign * cache_read_tokens_known) AS BIGINT) AS all_cache_read_tokens_known,
    CAST(sum(sign * cache_read_tokens) AS BIGINT) AS all_cache_read_tokens,
    CAST(sum(sign * cache_write_tokens_known) AS BIGINT) AS all_cache_write_tokens_known,
    CAST(sum(sign * cache_write_tokens) AS BIGINT) AS all_cache_write_tokens,
    CAST(sum(sign * reasoning_tokens_known) AS BIGINT) AS all_reasoning_tokens_known,
    CAST(sum(sign * reasoning_tokens) AS BIGINT) AS all_reasoning_tokens,
    CAST(sum(sign * calls_with_tokens) AS BIGINT) AS all_calls_with_tokens,
    CAST(sum(sign * retries_known) AS BIGINT) AS all_retries_known,
    CAST(sum(sign * retries) AS BIGINT) AS all_retries,
    CAST(sum(sign * fallbacks_from) AS BIGINT) AS all_fallbacks_from,
    CAST(sum(sign * fallbacks_to_known) AS BIGINT) AS all_fallbacks_to_known,
    CAST(sum(sign * fallbacks_to) AS BIGINT) AS all_fallbacks_to,
    CAST(sum(sign * costs_known) AS BIGINT) AS all_costs_known,
    CAST(greatest(least(sum(sign * cost_nano_usd), 9000000000000000000), -9000000000000000000) AS BIGINT)
        AS all_cost_nano_usd,
    CAST(sum(sign * costs_compared) AS BIGINT) AS all_costs_compared,
    CAST(greatest(least(sum(sign * compared_reported_nano_usd), 9000000000000000000), -9000000000000000000) AS BIGINT)
        AS all_compared_reported_nano_usd,
    CAST(greatest(least(sum(sign * compared_computed_nano_usd), 9000000000000000000), -9000000000000000000) AS BIGINT)
        AS all_compared_computed_nano_usd
FROM (
    SELECT 1 AS sign, new_trace_models.*
    FROM new_trace_models
    UNION ALL BY NAME
    SELECT -1 AS sign, old_trace_models.*
    FROM old_trace_models
) AS changes
GROUP BY first_start_unix_ns - first_start_unix_ns % 86400000000000, model, is_judge, conventions
ORDER BY day_unix_ns, model, is_judge, conventions
