-- What the spans of plain traces say of each model: each LLM span is a call of its own that succeeded.
-- grain: trace_id, span_id   params: none   reads: plain_spans
SELECT
    trace_id,
    coalesce(model, attributes['gen_ai.request.model']) AS model,
    TRUE AS is_asked,
    TRUE AS is_call,
    FALSE AS is_failed_call,
    input_tokens,
    output_tokens,
    cache_read_tokens,
    cache_write_tokens,
    reasoning_tokens,
    reported_cost_nano_usd,
    convention,
    start_unix_ns
FROM plain_spans
WHERE kind = 'llm' AND coalesce(model, attributes['gen_ai.request.model']) IS NOT NULL
