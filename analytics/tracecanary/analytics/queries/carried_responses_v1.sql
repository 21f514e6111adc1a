-- The spans with a gen_ai.response.id of traces that have outlived their spans.
-- grain: trace_id, span_id   params: $revision BIGINT   reads: live_responses, outlived_traces
SELECT live_responses.* REPLACE (CAST($revision AS BIGINT) AS revision)
FROM live_responses
INNER JOIN outlived_traces ON live_responses.trace_id = outlived_traces.trace_id
