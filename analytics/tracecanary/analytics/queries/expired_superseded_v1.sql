-- What takes the rows of expired traces out of those that count.
-- grain: trace_id   params: none   reads: expired_traces
SELECT trace_id, revision + 1 AS revision
FROM expired_traces
