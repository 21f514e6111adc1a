-- The judgements that can't be read from the lake again, or whose traces can't.
-- grain: trace_id, span_id, name, version, source   params: $revision BIGINT
-- reads: live_judgements, retention, outlived_traces
SELECT live_judgements.* REPLACE (CAST($revision AS BIGINT) AS revision)
FROM live_judgements
INNER JOIN retention ON TRUE
LEFT JOIN outlived_traces ON live_judgements.trace_id = outlived_traces.trace_id
WHERE outlived_traces.trace_id IS NOT NULL OR live_judgements.received_unix_ns < retention.evaluations_from_ns
