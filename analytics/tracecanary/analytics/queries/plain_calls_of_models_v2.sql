-- What the spans of plain traces say of each model: each LLM span is a call of its own that succeeded.
-- grain: trace_id, span_id   params: none   reads: priced_spans, intricate_traces
SELECT
    priced_spans.trace_id,
    priced_spans.asked_model AS model,
    TRUE AS is_asked,
    TRUE AS is_call,
    FALSE AS is_failed_call,
    priced_spans.input_tokens,
    priced_spans.output_tokens,
    priced_spans.cache_read_tokens,
    priced_spans.cache_write_tokens,
    priced_spans.reasoning_tokens,
    priced_spans.reported_cost_nano_usd,
    priced_spans.computed_cost_nano_usd,
    priced_spans.cost_nano_usd,
    priced_spans.convention,
    priced_spans.start_unix_ns,
    priced_spans.retry_count AS retries, -- 0, or not stated; and so of fallbacks
    priced_spans.fallback_used AS is_fallen_back_to
FROM priced_spans
LEFT JOIN intricate_traces ON priced_spans.trace_id = intricate_traces.trace_id
WHERE priced_spans.kind = 'llm' AND priced_spans.asked_model IS NOT NULL AND intricate_traces.trace_id IS NULL
