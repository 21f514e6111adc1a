-- The responses whose evaluations are placed again: those that new evaluations name by gen_ai.response.id alone, and
-- judged ones of which new spans, or earlier ones of traces derived again, say that they are theirs.
-- grain: response_id   params: none
-- reads: new_evaluations, new_spans, live_judgements, live_responses, rederived_traces
SELECT response_id
FROM new_evaluations
WHERE trace_id IS NULL AND response_id IS NOT NULL
UNION
SELECT live_judgements.response_id
FROM live_judgements
WHERE
    live_judgements.is_by_response
    AND live_judgements.response_id IN (SELECT response_id FROM new_spans WHERE response_id IS NOT NULL)
UNION
SELECT live_responses.response_id
FROM live_responses
INNER JOIN rederived_traces ON live_responses.trace_id = rederived_traces.trace_id
WHERE live_responses.response_id IN (SELECT response_id FROM live_judgements WHERE is_by_response)
