-- The traces that new rows speak of, or whose spans are gone in part: each is derived again, as far as it changed.
-- Evaluations that name a response which no span has yet stand in place of a trace, under the name of the response.
-- grain: trace_id   params: none   reads: rederived_traces, new_evaluations, dirty_responses, live_responses
SELECT trace_id FROM rederived_traces
UNION
SELECT coalesce(trace_id, concat('response ', response_id)) FROM new_evaluations
UNION
SELECT concat('response ', response_id) FROM dirty_responses
UNION
SELECT live_responses.trace_id
FROM live_responses
INNER JOIN dirty_responses ON live_responses.response_id = dirty_responses.response_id
