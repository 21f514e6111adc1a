-- The spans of traces that are not intricate; none of them was delivered twice.
-- grain: trace_id, span_id   params: none   reads: close_spans, intricate_traces
SELECT close_spans.*
FROM close_spans
LEFT JOIN intricate_traces ON close_spans.trace_id = intricate_traces.trace_id
WHERE intricate_traces.trace_id IS NULL
