-- The new spans that count: neither older than what is kept, nor late for a trace whose first spans are gone.
-- grain: a span and each time it was delivered   params: none   reads: arrived_spans, retention, final_traces
SELECT arrived_spans.*
FROM arrived_spans
INNER JOIN retention ON arrived_spans.start_unix_ns >= retention.spans_from_ns
LEFT JOIN final_traces ON arrived_spans.trace_id = final_traces.trace_id
WHERE final_traces.trace_id IS NULL
