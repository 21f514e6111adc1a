-- The spans, read before, of the traces whose spans are derived again, without those that have expired.
-- grain: a span and each time it was delivered   params: $kept_from_ns BIGINT, or null   reads: earlier_spans, rederived_traces
SELECT earlier_spans.*
FROM earlier_spans
INNER JOIN rederived_traces ON earlier_spans.trace_id = rederived_traces.trace_id
WHERE $kept_from_ns IS NULL OR earlier_spans.start_unix_ns >= $kept_from_ns
