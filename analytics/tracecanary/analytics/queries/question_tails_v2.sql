-- What values above a metric's cap have beyond it, counted from traces: subtracted from sums it caps them, and n is the
-- tail's count. Cluster groups are by pair before conversation if that is asked for.
-- grain: rollup_key, metric, g
-- params: $from_ns, $to_ns BIGINT (from inclusive, to exclusive); $keys BIGINT[], rollup keys, all if empty; $pairs_first BOOLEAN;
--         $caps STRUCT(cost_per_trace, input_tokens, output_tokens, steps_per_trace DOUBLE), null where nothing is capped
-- reads: live_facts
WITH high AS (
    SELECT
        rollup_key,
        CASE WHEN $pairs_first AND user_id IS NULL AND pair_id IS NOT NULL
            THEN CAST(concat('0x', substr(md5('tracecanarypair ' || pair_id), 1, 2)) AS BIGINT) % 128
            ELSE cluster_group END AS g,
        cost_nano_usd / 1e9 AS cost_usd,
        CAST(input_tokens AS DOUBLE) AS input_tokens,
        CAST(output_tokens AS DOUBLE) AS output_tokens,
        CAST(steps AS DOUBLE) AS steps
    FROM live_facts
    WHERE
        start_unix_ns >= $from_ns
        AND start_unix_ns < $to_ns
        AND (len($keys) = 0 OR list_contains($keys, rollup_key))
        AND (
            cost_nano_usd / 1e9 > $caps.cost_per_trace
            OR input_tokens > $caps.input_tokens
            OR output_tokens > $caps.output_tokens
            OR steps > $caps.steps_per_trace
        )
)
SELECT
    1 AS days,
    0 AS first_day,
    rollup_key,
    g,
    metric,
    CAST(count(*) AS DOUBLE) AS n,
    sum(value - cap ORDER BY value) AS total,
    sum(value * value - cap * cap ORDER BY value) AS total_sq,
    sum(value * value * value - cap * cap * cap ORDER BY value) AS total_cube
FROM (
    SELECT rollup_key, g, 'cost_per_trace' AS metric, cost_usd AS value, $caps.cost_per_trace AS cap
    FROM high
    UNION ALL
    SELECT rollup_key, g, 'input_tokens', input_tokens, $caps.input_tokens
    FROM high
    UNION ALL
    SELECT rollup_key, g, 'output_tokens', output_tokens, $caps.output_tokens
    FROM high
    UNION ALL
    SELECT rollup_key, g, 'steps_per_trace', steps, $caps.steps_per_trace
    FROM high
) AS measured
WHERE value > cap
GROUP BY rollup_key, g, metric
ORDER BY rollup_key, g, metric
