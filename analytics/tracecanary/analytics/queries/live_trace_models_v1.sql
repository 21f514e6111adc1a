-- The trace_models of each trace as it was derived last.
-- grain: trace_id, model   params: none   reads: stored_trace_models, stored_superseded
SELECT stored_trace_models.*
FROM stored_trace_models
LEFT JOIN stored_superseded
    ON stored_trace_models.trace_id = stored_superseded.trace_id AND stored_trace_models.revision < stored_superseded.revision
WHERE stored_superseded.trace_id IS NULL
