-- Model calls and whatever else bears tokens, each with what it costs (rated_spans_v1), in nano-USD.
-- grain: trace_id, span_id   params: none   reads: rated_spans
SELECT
    trace_id,
    span_id,
    parent_span_id,
    start_unix_ns,
    duration_ns,
    kind,
    status,
    convention,
    model,
    request_model,
    response_model,
    asked_model,
    input_tokens,
    output_tokens,
    cache_read_tokens,
    cache_write_tokens,
    reasoning_tokens,
    bears_tokens,
    reported_cost_nano_usd,
    computed_cost_nano_usd,
    cost_nano_usd,
    cost_source,
    unpriced_model,
    retry_count,
    fallback_used
FROM rated_spans
WHERE kind IN ('llm', 'embedding') OR input_tokens IS NOT NULL OR output_tokens IS NOT NULL
