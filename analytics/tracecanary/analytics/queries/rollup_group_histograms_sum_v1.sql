-- The counts of several parts, added up.
-- grain: day_unix_ns, rollup_key, g, metric, bucket   params: none   reads: stored_rollup_group_histograms
SELECT day_unix_ns, rollup_key, g, metric, bucket, CAST(sum(n) AS BIGINT) AS n
FROM stored_rollup_group_histograms
GROUP BY day_unix_ns, rollup_key, g, metric, bucket
HAVING sum(n) != 0
ORDER BY day_unix_ns, rollup_key, g, bucket
