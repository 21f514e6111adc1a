-- The samples of clusters of several parts, as one: no larger than that of a part.
-- grain: day_unix_ns, rollup_key, cluster   params: none   reads: stored_rollup_clusters
WITH summed AS (
    SELECT
        day_unix_ns, rollup_key, g, cluster, min(groups) AS groups, CAST(sum(traces) AS BIGINT) AS traces
    FROM stored_rollup_clusters
    GROUP BY day_unix_ns, rollup_key, g, cluster
    HAVING cluster IS NULL OR sum(traces) != 0
),
by_group AS (
    SELECT day_unix_ns, g, sum(traces) AS traces, min(groups) AS groups
    FROM summed
    GROUP BY day_unix_ns, g
),
sampled AS (
    SELECT day_unix_ns, max(groups) AS groups
    FROM (
        SELECT
            by_group.day_unix_ns,
            levels.groups,
            sum(CASE WHEN by_group.g < levels.groups THEN by_group.traces ELSE 0 END) AS traces,
            min(by_group.groups) AS stored_groups
        FROM by_group
        CROSS JOIN (SELECT unnest([1, 2, 4, 8, 16, 32, 64, 128]) AS groups) AS levels
        GROUP BY by_group.day_unix_ns, levels.groups
    ) AS counted
    WHERE groups <= stored_groups AND (traces <= 4096 OR groups = 1)
    GROUP BY day_unix_ns
)
SELECT summed.day_unix_ns, summed.rollup_key, summed.g, summed.cluster, sampled.groups, summed.traces
FROM summed
INNER JOIN sampled ON summed.day_unix_ns = sampled.day_unix_ns
WHERE summed.g < sampled.groups
UNION ALL
SELECT day_unix_ns, NULL, NULL, NULL, groups, 0
FROM sampled
WHERE groups < 128
ORDER BY day_unix_ns, g, cluster, rollup_key
