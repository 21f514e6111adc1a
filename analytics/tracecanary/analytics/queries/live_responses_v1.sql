-- The spans with a gen_ai.response.id of each trace as it was derived last.
-- grain: trace_id, span_id   params: none   reads: stored_responses, stored_superseded
SELECT stored_responses.*
FROM stored_responses
LEFT JOIN stored_superseded
    ON stored_responses.trace_id = stored_superseded.trace_id AND stored_responses.revision < stored_superseded.revision
WHERE stored_superseded.trace_id IS NULL
