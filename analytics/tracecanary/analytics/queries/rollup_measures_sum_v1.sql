-- The sums of several parts, added up.
-- grain: day_unix_ns, rollup_key, g, metric   params: none   reads: stored_rollup_measures
SELECT
    day_unix_ns,
    rollup_key,
    g,
    metric,
    CAST(sum(stated) AS BIGINT) AS stated,
    CAST(sum(known) AS BIGINT) AS known,
    CAST(greatest(least(sum(value_total), 9000000000000000000), -9000000000000000000) AS BIGINT) AS value_total,
    CAST(sum(value_sq) AS DECIMAL(38, 0)) AS value_sq,
    CAST(sum(value_cube) AS DECIMAL(38, 0)) AS value_cube
FROM stored_rollup_measures
GROUP BY day_unix_ns, rollup_key, g, metric
ORDER BY day_unix_ns, rollup_key, g, metric
