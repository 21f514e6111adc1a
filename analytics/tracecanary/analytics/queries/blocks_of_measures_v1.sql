-- rollup_measures added up by blocks of days; whole numbers as in blocks_of_groups_v1.
-- grain: first_day (since the epoch), rollup_key, g, metric   params: $days INTEGER   reads: stored_rollup_measures
SELECT
    CAST($days AS INTEGER) AS days,
    CAST((day_unix_ns - day_unix_ns % ($days * 86400000000000)) / 86400000000000 AS INTEGER) AS first_day,
    rollup_key,
    CAST(g AS SMALLINT) AS g,
    metric,
    CAST(sum(stated) AS DOUBLE) AS stated,
    CAST(sum(known) AS DOUBLE) AS known,
    CAST(sum(value_total) AS DOUBLE) AS value_total,
    CAST(CAST(sum(value_sq) AS HUGEINT) // 4294967296 AS DOUBLE) AS value_sq_high,
    CAST(CAST(sum(value_sq) AS HUGEINT) % 4294967296 AS DOUBLE) AS value_sq_low,
    CAST(CAST(sum(value_cube) AS HUGEINT) // 4294967296 AS DOUBLE) AS value_cube_high,
    CAST(CAST(sum(value_cube) AS HUGEINT) % 4294967296 AS DOUBLE) AS value_cube_low
FROM stored_rollup_measures
GROUP BY day_unix_ns - day_unix_ns % ($days * 86400000000000), rollup_key, g, metric
ORDER BY first_day, rollup_key, stored_rollup_measures.g, metric
