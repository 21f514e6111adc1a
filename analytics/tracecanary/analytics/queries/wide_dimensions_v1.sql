-- Dimensions with more values than rollups by them would bear, over what was derived before and what is new.
-- grain: name   params: $most INTEGER   reads: seen_rollup_keys
SELECT name
FROM (
    SELECT unnest(map_keys(dimensions)) AS name, unnest(map_values(dimensions)) AS value
    FROM seen_rollup_keys
    WHERE dimensions IS NOT NULL
) AS valued
GROUP BY name
HAVING count(DISTINCT value) > $most
ORDER BY name
