-- The judgements of each trace as it was derived last.
-- grain: trace_id, span_id, name, version, source   params: none   reads: stored_judgements, stored_superseded
SELECT stored_judgements.*
FROM stored_judgements
LEFT JOIN stored_superseded
    ON stored_judgements.trace_id = stored_superseded.trace_id AND stored_judgements.revision < stored_superseded.revision
WHERE stored_superseded.trace_id IS NULL
