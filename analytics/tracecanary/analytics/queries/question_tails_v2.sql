-- What values above a metric's cap have beyond it, counted from traces: subtracted from sums it caps them, and n is the
-- tail's count.
-- grain: rollup_key, metric, g
-- params: $caps STRUCT(cost_per_trace, input_tokens, output_tokens, steps_per_trace DOUBLE), null where nothing is capped
-- reads: rolled
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
    SELECT rollup_key, cluster_group AS g, 'cost_per_trace' AS metric, cost_nano_usd / 1e9 AS value,
        $caps.cost_per_trace AS cap
    FROM rolled
    UNION ALL
    SELECT rollup_key, cluster_group, 'input_tokens', CAST(input_tokens AS DOUBLE), $caps.input_tokens
    FROM rolled
    UNION ALL
    SELECT rollup_key, cluster_group, 'output_tokens', CAST(output_tokens AS DOUBLE), $caps.output_tokens
    FROM rolled
    UNION ALL
    SELECT rollup_key, cluster_group, 'steps_per_trace', CAST(steps AS DOUBLE), $caps.steps_per_trace
    FROM rolled
) AS measured
WHERE value > cap
GROUP BY rollup_key, g, metric
ORDER BY rollup_key, g, metric
