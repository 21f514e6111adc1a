-- The traces whose earlier rows no longer count.
-- grain: trace_id   params: $revision BIGINT   reads: old_facts
SELECT trace_id, CAST($revision AS BIGINT) AS revision
FROM old_facts
