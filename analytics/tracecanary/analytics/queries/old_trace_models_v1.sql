-- What was known before of models in the traces that are derived again.
-- grain: trace_id, model   params: none   reads: live_trace_models, dirty_traces
SELECT live_trace_models.*
FROM live_trace_models
INNER JOIN dirty_traces ON live_trace_models.trace_id = dirty_traces.trace_id
