-- The spans known before that have a gen_ai.response.id, of the traces that are derived again.
-- grain: trace_id, span_id   params: none   reads: live_responses, dirty_traces
SELECT live_responses.*
FROM live_responses
INNER JOIN dirty_traces ON live_responses.trace_id = dirty_traces.trace_id
