-- What traces that have outlived their spans did with each model.
-- grain: trace_id, model, is_judge   params: $revision BIGINT   reads: live_trace_models, outlived_traces
SELECT live_trace_models.* REPLACE (CAST($revision AS BIGINT) AS revision)
FROM live_trace_models
INNER JOIN outlived_traces ON live_trace_models.trace_id = outlived_traces.trace_id
