-- Calls of embedding models: of embedding spans of one model inside each other the innermost one, as for tokens. They
-- make no arm and no retry.
-- grain: trace_id, span_id   params: none   reads: priced_spans, judge_spans
WITH embeddings AS (
    SELECT priced_spans.*
    FROM priced_spans
    LEFT JOIN judge_spans
        ON priced_spans.trace_id = judge_spans.trace_id AND priced_spans.span_id = judge_spans.span_id
    WHERE priced_spans.kind = 'embedding' AND priced_spans.model IS NOT NULL AND judge_spans.span_id IS NULL
),
wrapped AS (
    SELECT DISTINCT trace_id, parent_span_id AS span_id, model
    FROM embeddings
    WHERE parent_span_id IS NOT NULL
)
SELECT
    embeddings.trace_id,
    embeddings.model,
    TRUE AS is_asked,
    TRUE AS is_call,
    embeddings.status = 'error' AS is_failed_call,
    embeddings.input_tokens,
    embeddings.output_tokens,
    embeddings.cache_read_tokens,
    embeddings.cache_write_tokens,
    embeddings.reasoning_tokens,
    embeddings.reported_cost_nano_usd,
    embeddings.computed_cost_nano_usd,
    embeddings.cost_nano_usd,
    embeddings.convention,
    embeddings.start_unix_ns
FROM embeddings
LEFT JOIN wrapped
    ON embeddings.trace_id = wrapped.trace_id
    AND embeddings.span_id = wrapped.span_id
    AND embeddings.model = wrapped.model
WHERE wrapped.span_id IS NULL
