-- The spans, read before, of the traces whose spans are derived again.
-- grain: a span and each time it was delivered   params: none   reads: earlier_spans, rederived_traces
SELECT earlier_spans.*
FROM earlier_spans
INNER JOIN rederived_traces ON earlier_spans.trace_id = rederived_traces.trace_id
