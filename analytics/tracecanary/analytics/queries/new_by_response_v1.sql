-- Whether judgements are to be placed by response: then what is known of responses is looked through.
-- grain: one row   params: none   reads: new_evaluations
SELECT count(*) > 0 AS are_by_response
FROM new_evaluations
WHERE trace_id IS NULL AND response_id IS NOT NULL
