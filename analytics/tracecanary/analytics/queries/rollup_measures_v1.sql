-- Sums of own metrics by day, rollup key and cluster group: traces that state one, those with a usable value (known), and
-- these values, in millionths, their squares, and the cubes of their thousandths.
-- grain: day_unix_ns, rollup_key, g, metric   params: none   reads: rolled
SELECT
    day_unix_ns,
    rollup_key,
    g,
    measure.key AS metric,
    CAST(sum(sign) AS BIGINT) AS stated,
    CAST(sum(CASE WHEN measure.value IS NOT NULL THEN sign ELSE 0 END) AS BIGINT) AS known,
    CAST(greatest(least(sum(sign * CAST(coalesce(measure.value, 0) AS HUGEINT)), 9000000000000000000), -9000000000000000000)
        AS BIGINT) AS value_total,
    CAST(sum(sign * CAST(coalesce(measure.value, 0) AS HUGEINT) * coalesce(measure.value, 0)) AS DECIMAL(38, 0))
        AS value_sq,
    CAST(sum(
        sign * CAST(round(coalesce(measure.value, 0) / 1000.0) AS HUGEINT)
        * CAST(round(coalesce(measure.value, 0) / 1000.0) AS HUGEINT)
        * CAST(round(coalesce(measure.value, 0) / 1000.0) AS HUGEINT)
    ) AS DECIMAL(38, 0)) AS value_cube
FROM (
    SELECT day_unix_ns, rollup_key, cluster_group AS g, sign, unnest(map_entries(measures)) AS measure
    FROM rolled
    WHERE measures IS NOT NULL
) AS measured
GROUP BY day_unix_ns, rollup_key, g, measure.key
ORDER BY day_unix_ns, rollup_key, g, metric
