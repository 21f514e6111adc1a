-- The facts of traces that have outlived their spans. Other traces whose judgements are carried over have a row with
-- these alone, until their spans are read.
-- grain: trace_id   params: $revision BIGINT   reads: live_facts, outlived_traces, new_judgements
SELECT live_facts.* REPLACE (CAST($revision AS BIGINT) AS revision)
FROM live_facts
INNER JOIN outlived_traces ON live_facts.trace_id = outlived_traces.trace_id
UNION ALL BY NAME
SELECT
    CAST($revision AS BIGINT) AS revision,
    live_facts.trace_id,
    live_facts.outcomes,
    live_facts.is_thumbs_down,
    live_facts.is_escalated
FROM live_facts
LEFT JOIN outlived_traces ON live_facts.trace_id = outlived_traces.trace_id
WHERE outlived_traces.trace_id IS NULL AND live_facts.trace_id IN (SELECT trace_id FROM new_judgements)
ORDER BY start_unix_ns, trace_id
