-- The spans of traces that need no closer look; none of them was delivered twice.
-- grain: trace_id, span_id   params: none   reads: landing_spans, close_traces
SELECT landing_spans.*
FROM landing_spans
LEFT JOIN close_traces ON landing_spans.trace_id = close_traces.trace_id
WHERE close_traces.trace_id IS NULL
