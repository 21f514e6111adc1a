-- rollup_tails added up by blocks of days. A block has of each key and metric what is complete on each of its days:
-- the buckets from complete_from on. One row of n 0 in the bucket 32767 says that of a key and metric without any.
-- Squares and cubes are <name>_high * 2^32 + <name>_low, as in blocks_of_groups.
-- grain: first_day (since the epoch), rollup_key, metric, g, bucket   params: $days INTEGER   reads: stored_rollup_tails
WITH blocks AS (
    SELECT
        stored_rollup_tails.*,
        day_unix_ns - day_unix_ns % ($days * 86400000000000) AS block_unix_ns
    FROM stored_rollup_tails
)
SELECT
    CAST($days AS INTEGER) AS days,
    CAST(block_unix_ns / 86400000000000 AS INTEGER) AS first_day,
    rollup_key,
    metric,
    CAST(coalesce(g, 0) AS SMALLINT) AS g,
    CAST(coalesce(bucket, 32767) AS SMALLINT) AS bucket,
    CAST(max(coalesce(complete_from, -32768)) AS SMALLINT) AS complete_from,
    CAST(sum(n) AS DOUBLE) AS n,
    CAST(sum(total) AS DOUBLE) AS total,
    CAST(CAST(sum(total_sq) AS HUGEINT) // 4294967296 AS DOUBLE) AS total_sq_high,
    CAST(CAST(sum(total_sq) AS HUGEINT) % 4294967296 AS DOUBLE) AS total_sq_low,
    CAST(CAST(sum(total_cube) AS HUGEINT) // 4294967296 AS DOUBLE) AS total_cube_high,
    CAST(CAST(sum(total_cube) AS HUGEINT) % 4294967296 AS DOUBLE) AS total_cube_low
FROM blocks
GROUP BY block_unix_ns, rollup_key, metric, coalesce(g, 0), coalesce(bucket, 32767)
ORDER BY first_day, rollup_key, metric
