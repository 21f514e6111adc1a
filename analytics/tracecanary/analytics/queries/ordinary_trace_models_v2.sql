-- What each trace that needs no closer look did with its one model: columns as in trace_models_v2.
-- grain: trace_id   params: none   reads: trace_outlines, close_traces, call_contexts
SELECT
    outlines.first_model AS model,
    outlines.trace_id,
    FALSE AS is_judge,
    1 AS traces,
    outlines.llm_calls,
    0 AS llm_errors,
    outlines.input_tokens_known,
    CAST(coalesce(outlines.input_tokens, 0) AS BIGINT) AS input_tokens,
    outlines.output_tokens_known,
    CAST(coalesce(outlines.output_tokens, 0) AS BIGINT) AS output_tokens,
    outlines.cache_read_tokens_known,
    CAST(coalesce(outlines.cache_read_tokens, 0) AS BIGINT) AS cache_read_tokens,
    outlines.cache_write_tokens_known,
    CAST(coalesce(outlines.cache_write_tokens, 0) AS BIGINT) AS cache_write_tokens,
    outlines.reasoning_tokens_known,
    CAST(coalesce(outlines.reasoning_tokens, 0) AS BIGINT) AS reasoning_tokens,
    outlines.calls_with_tokens,
    outlines.retries_denied AS retries_known,
    CAST(0 AS BIGINT) AS retries,
    0 AS fallbacks_from,
    outlines.fallbacks_denied AS fallbacks_to_known,
    0 AS fallbacks_to,
    outlines.costs_known,
    CAST(least(coalesce(outlines.cost_nano_usd, 0), 9000000000000000000) AS BIGINT) AS cost_nano_usd,
    -- Of a trace that needs no closer look, all calls have both costs, or none has.
    least(outlines.reported_costs_known, outlines.computed_costs_known) AS costs_compared,
    CAST(
        CASE WHEN outlines.computed_costs_known > 0 THEN coalesce(outlines.reported_cost_nano_usd, 0) ELSE 0 END AS BIGINT
    ) AS compared_reported_nano_usd,
    CAST(
        CASE WHEN outlines.reported_costs_known > 0 THEN coalesce(outlines.computed_cost_nano_usd, 0) ELSE 0 END AS BIGINT
    ) AS compared_computed_nano_usd,
    CASE WHEN call_contexts.convention IS NOT NULL THEN [call_contexts.convention] END AS conventions,
    outlines.first_call_unix_ns AS first_start_unix_ns,
    outlines.last_call_unix_ns AS last_start_unix_ns
FROM trace_outlines AS outlines
LEFT JOIN close_traces ON outlines.trace_id = close_traces.trace_id
LEFT JOIN call_contexts ON outlines.call_key = call_contexts.call_key
WHERE close_traces.trace_id IS NULL AND outlines.llm_calls > 0
