-- The judgements known before of the traces that are derived again.
-- grain: trace_id, span_id, name, version, source   params: none   reads: live_judgements, dirty_traces
SELECT live_judgements.* EXCLUDE (revision)
FROM live_judgements
INNER JOIN dirty_traces ON live_judgements.trace_id = dirty_traces.trace_id
