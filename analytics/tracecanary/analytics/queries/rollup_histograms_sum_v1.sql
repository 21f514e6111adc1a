-- The counts of several parts, added up.
-- grain: day_unix_ns, rollup_key, metric, bucket   params: none   reads: stored_rollup_histograms
SELECT day_unix_ns, rollup_key, metric, bucket, CAST(sum(n) AS BIGINT) AS n
FROM stored_rollup_histograms
GROUP BY day_unix_ns, rollup_key, metric, bucket
HAVING sum(n) != 0
ORDER BY day_unix_ns, rollup_key, metric, bucket
