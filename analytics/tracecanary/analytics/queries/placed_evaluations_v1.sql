-- Evaluations with the trace and span that they belong to. One that names only gen_ai.response.id belongs to the span
-- that has it; until that span is there it stands under the name of the response, in place of a trace.
-- grain: an evaluation and each time it was delivered   params: none
-- reads: arrived_evaluations, dirty_responses, answers
SELECT
    arrived.* EXCLUDE (trace_id, span_id, is_by_response, is_placed),
    NOT arrived.is_placed OR coalesce(arrived.is_by_response, FALSE) AS is_by_response,
    CASE
        WHEN arrived.is_placed THEN arrived.trace_id
        ELSE coalesce(answers.trace_id, concat('response ', arrived.response_id))
    END AS trace_id,
    CASE WHEN arrived.is_placed THEN arrived.span_id ELSE answers.span_id END AS span_id
FROM (
    SELECT
        arrived_evaluations.*,
        arrived_evaluations.trace_id IS NOT NULL
        AND NOT (
            coalesce(arrived_evaluations.is_by_response, FALSE)
            AND arrived_evaluations.response_id IS NOT NULL
            AND arrived_evaluations.response_id IN (SELECT response_id FROM dirty_responses)
        ) AS is_placed
    FROM arrived_evaluations
) AS arrived
LEFT JOIN answers ON arrived.response_id = answers.response_id AND NOT arrived.is_placed
