-- The largest values by day, rollup key, cluster group, metric and bucket: what a cap cuts off. Of each day, key and
-- metric the highest buckets, down to where they would hold more than 8 traces and more than one in 64.
--   bucket         as in rollup_histograms
--   complete_from  every value in this bucket or above is here; null where all are. A row without bucket says it for a
--                  day, key and metric of which nothing is here
--   total, total_sq, total_cube  sums of powers, in the units of rollup_groups
-- grain: day_unix_ns, rollup_key, metric, g, bucket   params: none   reads: rolled, new_rollup_histograms
WITH counted AS (
    SELECT
        day_unix_ns,
        rollup_key,
        metric,
        bucket,
        sum(n) OVER (PARTITION BY day_unix_ns, rollup_key, metric) AS traces,
        sum(n) OVER (
            PARTITION BY day_unix_ns, rollup_key, metric ORDER BY bucket DESC NULLS LAST
            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) AS above
    FROM new_rollup_histograms
    WHERE metric != 'latency'
),
cuts AS (
    SELECT day_unix_ns, rollup_key, metric, max(bucket) + 1 AS complete_from
    FROM counted
    WHERE bucket IS NOT NULL AND above > greatest(8, traces / 64.0)
    GROUP BY day_unix_ns, rollup_key, metric
),
edges AS (
    SELECT
        day_unix_ns,
        rollup_key,
        max(CASE WHEN metric = 'cost_per_trace' THEN complete_from END) AS cost_from,
        max(CASE WHEN metric = 'input_tokens' THEN complete_from END) AS input_from,
        max(CASE WHEN metric = 'output_tokens' THEN complete_from END) AS output_from,
        max(CASE WHEN metric = 'steps_per_trace' THEN complete_from END) AS steps_from
    FROM cuts
    GROUP BY day_unix_ns, rollup_key
),
high AS (
    SELECT rolled.*, edges.cost_from, edges.input_from, edges.output_from, edges.steps_from
    FROM rolled
    LEFT JOIN edges ON rolled.day_unix_ns = edges.day_unix_ns AND rolled.rollup_key = edges.rollup_key
    -- A little below the edges, so that rounding loses nothing; the buckets decide.
    WHERE
        rolled.cost_nano_usd / 1e9 > coalesce(pow(2, edges.cost_from / 32.0) * 0.999, 0)
        OR rolled.input_tokens > coalesce(pow(2, edges.input_from / 32.0) * 0.999, 0)
        OR rolled.output_tokens > coalesce(pow(2, edges.output_from / 32.0) * 0.999, 0)
        OR rolled.steps > coalesce(pow(2, edges.steps_from / 32.0) * 0.999, 0)
),
measured AS (
    SELECT
        day_unix_ns, rollup_key, cluster_group AS g, sign, 'cost_per_trace' AS metric, cost_from AS complete_from,
        cost_nano_usd / 1e9 AS value, cost_value AS power_value, cost_micro_usd AS cube_value
    FROM high
    UNION ALL
    SELECT
        day_unix_ns, rollup_key, cluster_group, sign, 'input_tokens', input_from, CAST(input_tokens AS DOUBLE),
        input_tokens_value, input_tokens_value
    FROM high
    UNION ALL
    SELECT
        day_unix_ns, rollup_key, cluster_group, sign, 'output_tokens', output_from, CAST(output_tokens AS DOUBLE),
        output_tokens_value, output_tokens_value
    FROM high
    UNION ALL
    SELECT
        day_unix_ns, rollup_key, cluster_group, sign, 'steps_per_trace', steps_from, CAST(steps AS DOUBLE),
        steps_value, steps_value
    FROM high
),
placed AS (
    SELECT measured.*, CAST(ceil(log2(value) * 32) AS BIGINT) - 1 AS bucket
    FROM measured
    WHERE value > 0
)
SELECT
    day_unix_ns,
    rollup_key,
    metric,
    g,
    bucket,
    complete_from,
    CAST(sum(sign) AS BIGINT) AS n,
    CAST(sum(sign * power_value) AS DECIMAL(38, 0)) AS total,
    CAST(sum(sign * power_value * power_value) AS DECIMAL(38, 0)) AS total_sq,
    CAST(sum(sign * cube_value * cube_value * cube_value) AS DECIMAL(38, 0)) AS total_cube
FROM placed
WHERE bucket >= complete_from OR complete_from IS NULL
GROUP BY day_unix_ns, rollup_key, metric, g, bucket, complete_from
HAVING sum(sign) != 0 OR sum(sign * power_value) != 0
UNION ALL
SELECT day_unix_ns, rollup_key, metric, NULL, NULL, complete_from, 0, 0, 0, 0
FROM cuts
ORDER BY day_unix_ns, rollup_key, metric, g, bucket
