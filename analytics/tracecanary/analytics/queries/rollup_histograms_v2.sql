-- Counts of values by day, rollup key, metric and logarithmic bucket.
--   bucket  b holds 2^(b/32) < value <= 2^((b+1)/32), in s, USD, tokens and steps; null holds zeros
-- grain: day_unix_ns, rollup_key, metric, bucket   params: none   reads: rolled
WITH measured AS (
    SELECT day_unix_ns, rollup_key, sign, 'latency' AS metric, duration_ns / 1e9 AS value
    FROM rolled
    UNION ALL
    SELECT day_unix_ns, rollup_key, sign, 'cost_per_trace', cost_nano_usd / 1e9
    FROM rolled
    UNION ALL
    SELECT day_unix_ns, rollup_key, sign, 'input_tokens', CAST(input_tokens AS DOUBLE)
    FROM rolled
    UNION ALL
    SELECT day_unix_ns, rollup_key, sign, 'output_tokens', CAST(output_tokens AS DOUBLE)
    FROM rolled
    UNION ALL
    SELECT day_unix_ns, rollup_key, sign, 'steps_per_trace', CAST(steps AS DOUBLE)
    FROM rolled
)
SELECT
    day_unix_ns,
    rollup_key,
    metric,
    CASE WHEN value > 0 THEN CAST(ceil(log2(value) * 32) AS BIGINT) - 1 END AS bucket,
    CAST(sum(sign) AS BIGINT) AS n
FROM measured
WHERE value IS NOT NULL
GROUP BY
    day_unix_ns, rollup_key, metric,
    CASE WHEN value > 0 THEN CAST(ceil(log2(value) * 32) AS BIGINT) - 1 END
HAVING sum(sign) != 0
ORDER BY day_unix_ns, rollup_key, metric, bucket
