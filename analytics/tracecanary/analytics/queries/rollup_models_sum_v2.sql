-- The sums of several parts, added up.
-- grain: day_unix_ns, model, is_judge, conventions   params: none   reads: stored_rollup_models
SELECT
    day_unix_ns,
    model,
    is_judge,
    conventions,
    CAST(sum(all_traces) AS BIGINT) AS all_traces,
    CAST(sum(all_llm_calls) AS BIGINT) AS all_llm_calls,
    CAST(sum(all_llm_errors) AS BIGINT) AS all_llm_errors,
    CAST(sum(all_input_tokens_known) AS BIGINT) AS all_input_tokens_known,
    CAST(sum(all_input_tokens) AS BIGINT) AS all_input_tokens,
    CAST(sum(all_output_tokens_known) AS BIGINT) AS all_output_tokens_known,
    CAST(sum(all_output_tokens) AS BIGINT) AS all_output_tokens,
    CAST(sum(all_cache_read_tokens_known) AS BIGINT) AS all_cache_read_tokens_known,
    CAST(sum(all_cache_read_tokens) AS BIGINT) AS all_cache_read_tokens,
    CAST(sum(all_cache_write_tokens_known) AS BIGINT) AS all_cache_write_tokens_known,
    CAST(sum(all_cache_write_tokens) AS BIGINT) AS all_cache_write_tokens,
    CAST(sum(all_reasoning_tokens_known) AS BIGINT) AS all_reasoning_tokens_known,
    CAST(sum(all_reasoning_tokens) AS BIGINT) AS all_reasoning_tokens,
    CAST(sum(all_calls_with_tokens) AS BIGINT) AS all_calls_with_tokens,
    CAST(sum(all_retries_known) AS BIGINT) AS all_retries_known,
    CAST(sum(all_retries) AS BIGINT) AS all_retries,
    CAST(sum(all_fallbacks_from) AS BIGINT) AS all_fallbacks_from,
    CAST(sum(all_fallbacks_to_known) AS BIGINT) AS all_fallbacks_to_known,
    CAST(sum(all_fallbacks_to) AS BIGINT) AS all_fallbacks_to,
    CAST(sum(all_costs_known) AS BIGINT) AS all_costs_known,
    CAST(greatest(least(sum(all_cost_nano_usd), 9000000000000000000), -9000000000000000000) AS BIGINT)
        AS all_cost_nano_usd,
    CAST(sum(all_costs_compared) AS BIGINT) AS all_costs_compared,
    CAST(greatest(least(sum(all_compared_reported_nano_usd), 9000000000000000000), -9000000000000000000) AS BIGINT)
        AS all_compared_reported_nano_usd,
    CAST(greatest(least(sum(all_compared_computed_nano_usd), 9000000000000000000), -9000000000000000000) AS BIGINT)
        AS all_compared_computed_nano_usd
FROM stored_rollup_models
GROUP BY day_unix_ns, model, is_judge, conventions
ORDER BY day_unix_ns, model, is_judge, conventions
