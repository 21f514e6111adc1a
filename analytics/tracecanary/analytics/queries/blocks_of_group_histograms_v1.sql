-- rollup_group_histograms added up by blocks of days; the bucket of zeros has the number -32768.
-- grain: first_day (since the epoch), rollup_key, g, metric, bucket   params: $days INTEGER
-- reads: stored_rollup_group_histograms
SELECT
    CAST($days AS INTEGER) AS days,
    CAST((day_unix_ns - day_unix_ns % ($days * 86400000000000)) / 86400000000000 AS INTEGER) AS first_day,
    rollup_key,
    CAST(g AS SMALLINT) AS g,
    metric,
    CAST(coalesce(bucket, -32768) AS SMALLINT) AS bucket,
    CAST(sum(n) AS INTEGER) AS n
FROM stored_rollup_group_histograms
GROUP BY day_unix_ns - day_unix_ns % ($days * 86400000000000), rollup_key, g, metric, coalesce(bucket, -32768)
ORDER BY first_day
