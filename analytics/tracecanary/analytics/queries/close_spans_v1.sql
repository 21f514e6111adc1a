-- The spans of traces that need a closer look, each time that they were delivered.
-- grain: none   params: none   reads: landing_spans, close_traces
SELECT landing_spans.*
FROM landing_spans
INNER JOIN close_traces ON landing_spans.trace_id = close_traces.trace_id
