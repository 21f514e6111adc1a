-- The traces of which something was kept.
-- grain: trace_id   params: none   reads: old_facts
SELECT trace_id
FROM old_facts
