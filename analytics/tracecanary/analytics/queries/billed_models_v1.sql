-- The ways in which model calls, and whatever else bears tokens, name their model: what prices are looked up by.
-- grain: model, request_model, response_model, provider   params: none   reads: billed_spans
SELECT DISTINCT model, request_model, response_model, provider
FROM billed_spans
WHERE
    (input_tokens IS NOT NULL OR output_tokens IS NOT NULL)
    AND (model IS NOT NULL OR request_model IS NOT NULL OR response_model IS NOT NULL)
ORDER BY model, request_model, response_model, provider
