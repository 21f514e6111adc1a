-- The facts of the traces in which a model was asked.
-- grain: trace_id   params: none   reads: live_facts
SELECT live_facts.* EXCLUDE (revision, outcomes)
FROM live_facts
WHERE live_facts.rollup_key IS NOT NULL
