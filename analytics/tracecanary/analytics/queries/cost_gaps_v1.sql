-- Models with calls that have a reported and a computed cost, with both added up over these calls, of the whole lake.
-- grain: model   params: $models VARCHAR[], empty for all   reads: stored_rollup_models
SELECT
    model,
    CAST(sum(all_costs_compared) AS BIGINT) AS calls,
    CAST(sum(all_compared_reported_nano_usd) AS DOUBLE) / 1e9 AS reported_usd,
    CAST(sum(all_compared_computed_nano_usd) AS DOUBLE) / 1e9 AS computed_usd
FROM stored_rollup_models
WHERE NOT is_judge AND (len($models) = 0 OR list_contains($models, model))
GROUP BY model
HAVING sum(all_costs_compared) > 0
ORDER BY model
