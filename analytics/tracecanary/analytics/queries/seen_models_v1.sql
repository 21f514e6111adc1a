-- One row per way in which spans with tokens name their model: what prices are looked up by.
-- grain: model, request_model, response_model, provider   params: none   reads: spans
SELECT
    model,
    request_model,
    response_model,
    provider,
    count(*) AS spans,
    min(start_unix_ns) AS first_seen_unix_ns,
    max(start_unix_ns) AS last_seen_unix_ns
FROM spans
WHERE (input_tokens IS NOT NULL OR output_tokens IS NOT NULL) AND model IS NOT NULL
GROUP BY model, request_model, response_model, provider
ORDER BY model, provider, request_model, response_model
