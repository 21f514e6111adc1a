-- The traces that new rows speak of, or whose spans are gone in part: each is derived again, as far as it changed.
-- Evaluations that name a response which no span has yet stand in place of a trace, under the name of the response.
-- Judgements that have expired since, those received before $judged_before, are to be forgotten.
-- grain: trace_id   params: $judged_before BIGINT, or null
-- reads: rederived_traces, new_evaluations, dirty_responses, live_responses, live_judgements
SELECT trace_id FROM rederived_traces
UNION
SELECT coalesce(trace_id, concat('response ', response_id)) FROM new_evaluations
UNION
SELECT concat('response ', response_id) FROM dirty_responses
UNION
SELECT live_responses.trace_id
FROM live_responses
INNER JOIN dirty_responses ON live_responses.response_id = dirty_responses.response_id
UNION
SELECT trace_id
FROM live_judgements
WHERE received_unix_ns < $judged_before
