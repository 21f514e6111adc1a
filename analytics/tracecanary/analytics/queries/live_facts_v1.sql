-- The newest row of each trace: a later derivation of a trace supersedes the earlier one.
-- grain: trace_id   params: none   reads: stored_facts, stored_superseded
SELECT stored_facts.*
FROM stored_facts
LEFT JOIN stored_superseded
    ON stored_facts.trace_id = stored_superseded.trace_id AND stored_facts.revision < stored_superseded.revision
WHERE stored_superseded.trace_id IS NULL
