-- The traces that new rows speak of, or whose spans are gone in part: each is derived again, as far as it changed.
-- Evaluations that name a response which no span has yet stand in place of a trace, under the name of the response.
-- grain: trace_id   params: none   reads: rederived_traces, new_evaluations, dirty_responses, live_facts
SELECT trace_id FROM rederived_traces
UNION
SELECT coalesce(trace_id, concat('response ', response_id)) FROM new_evaluations
UNION
SELECT concat('response ', response_id) FROM dirty_responses
UNION
SELECT known.trace_id
FROM (
    SELECT trace_id, unnest(answers).response_id AS response_id
    FROM live_facts
    WHERE EXISTS (SELECT 1 FROM dirty_responses)
) AS known
INNER JOIN dirty_responses ON known.response_id = dirty_responses.response_id
