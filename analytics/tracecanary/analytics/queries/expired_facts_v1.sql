-- What stays of an expired trace while the lake may have spans of it: when these start, so that it stays final.
-- grain: trace_id   params: none   reads: expired_traces
SELECT trace_id, revision + 1 AS revision, first_span_ns, last_span_ns
FROM expired_traces
WHERE is_final
