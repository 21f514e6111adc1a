-- How many judgements derived now belong to a trace, or wait for one, by gen_ai.response.id alone.
-- grain: one row   params: none   reads: new_judgements
SELECT count(*) AS judgements
FROM new_judgements
WHERE is_by_response
