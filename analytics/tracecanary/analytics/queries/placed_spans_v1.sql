-- The spans of intricate traces, each once, calls that are told twice below each other.
-- grain: trace_id, span_id   params: none   reads: delivered_spans, retold_calls
SELECT
    delivered_spans.* EXCLUDE (parent_span_id),
    coalesce(retold_calls.parent_span_id, delivered_spans.parent_span_id) AS parent_span_id
FROM delivered_spans
LEFT JOIN retold_calls
    ON delivered_spans.trace_id = retold_calls.trace_id AND delivered_spans.span_id = retold_calls.span_id
