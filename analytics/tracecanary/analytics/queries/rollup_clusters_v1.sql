-- Traces by day, rollup key and cluster, of a sample of clusters: each day has those of its first cluster groups, of all
-- 128 while the day has few traces. A cluster is in the sample of a day with all of its traces or with none.
--   cluster  60 bits of a digest of its name; its group comes from the first 8
--   groups   groups that the day has; a row without cluster says it for a day of which no cluster is in the sample
-- grain: day_unix_ns, rollup_key, cluster   params: none   reads: rolled
WITH by_group AS (
    SELECT day_unix_ns, cluster_group AS g, count(*) AS traces
    FROM rolled
    WHERE sign = 1
    GROUP BY day_unix_ns, cluster_group
),
sampled AS (
    SELECT day_unix_ns, max(groups) AS groups
    FROM (
        SELECT
            by_group.day_unix_ns,
            levels.groups,
            sum(CASE WHEN by_group.g < levels.groups THEN by_group.traces ELSE 0 END) AS traces
        FROM by_group
        CROSS JOIN (SELECT unnest([1, 2, 4, 8, 16, 32, 64, 128]) AS groups) AS levels
        GROUP BY by_group.day_unix_ns, levels.groups
    ) AS counted
    WHERE traces <= 4096 OR groups = 1
    GROUP BY day_unix_ns
)
SELECT
    rolled.day_unix_ns,
    rolled.rollup_key,
    rolled.cluster_group AS g,
    CAST(concat('0x', substr(md5('tracecanary' || rolled.cluster_name), 1, 15)) AS BIGINT) AS cluster,
    coalesce(sampled.groups, 128) AS groups,
    CAST(sum(rolled.sign) AS BIGINT) AS traces
FROM rolled
LEFT JOIN sampled ON rolled.day_unix_ns = sampled.day_unix_ns
WHERE rolled.cluster_group < coalesce(sampled.groups, 128)
GROUP BY
    rolled.day_unix_ns, rolled.rollup_key, rolled.cluster_group,
    CAST(concat('0x', substr(md5('tracecanary' || rolled.cluster_name), 1, 15)) AS BIGINT), coalesce(sampled.groups, 128)
HAVING sum(rolled.sign) != 0
UNION ALL
SELECT day_unix_ns, NULL, NULL, NULL, groups, 0
FROM sampled
WHERE groups < 128
ORDER BY day_unix_ns, g, cluster, rollup_key
