-- The judgements known before of the traces that are derived again, without those that have expired. The newest of a key
-- is known, so that all of its key have expired with it.
-- grain: trace_id, span_id, name, version, source   params: $kept_from_ns BIGINT, or null
-- reads: live_judgements, dirty_traces
SELECT live_judgements.* EXCLUDE (revision)
FROM live_judgements
INNER JOIN dirty_traces ON live_judgements.trace_id = dirty_traces.trace_id
WHERE $kept_from_ns IS NULL OR live_judgements.received_unix_ns >= $kept_from_ns
