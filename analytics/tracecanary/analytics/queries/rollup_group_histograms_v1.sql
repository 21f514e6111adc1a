-- Counts of latencies by day, rollup key, cluster group and coarse bucket: how much quantiles vary between clusters.
--   bucket  b holds 2^(b/4) < value <= 2^((b+1)/4), in s; null holds zeros
-- grain: day_unix_ns, rollup_key, g, metric, bucket   params: none   reads: rolled
SELECT
    start_unix_ns - start_unix_ns % 86400000000000 AS day_unix_ns,
    rollup_key,
    cluster_group AS g,
    'latency' AS metric,
    CASE WHEN duration_ns > 0 THEN CAST(ceil(log2(duration_ns / 1e9) * 4) AS BIGINT) - 1 END AS bucket,
    CAST(sum(sign) AS BIGINT) AS n
FROM rolled
GROUP BY
    start_unix_ns - start_unix_ns % 86400000000000, rollup_key, cluster_group,
    CASE WHEN duration_ns > 0 THEN CAST(ceil(log2(duration_ns / 1e9) * 4) AS BIGINT) - 1 END
HAVING sum(sign) != 0
ORDER BY day_unix_ns, rollup_key, g, bucket
