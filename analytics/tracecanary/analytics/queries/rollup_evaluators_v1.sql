-- Judged traces by day, rollup key, cluster group and evaluator: how many, and how many failed.
-- grain: day_unix_ns, rollup_key, g, evaluator, version   params: none   reads: rolled
SELECT
    day_unix_ns,
    rollup_key,
    g,
    outcome.evaluator AS evaluator,
    outcome.version AS version,
    CAST(sum(sign) AS BIGINT) AS judged,
    CAST(sum(CASE WHEN outcome.has_failed THEN sign ELSE 0 END) AS BIGINT) AS failed
FROM (
    SELECT
        start_unix_ns - start_unix_ns % 86400000000000 AS day_unix_ns,
        rollup_key,
        cluster_group AS g,
        sign,
        unnest(outcomes) AS outcome
    FROM rolled
    WHERE outcomes IS NOT NULL
) AS judged_traces
GROUP BY day_unix_ns, rollup_key, g, outcome.evaluator, outcome.version
ORDER BY day_unix_ns, rollup_key, g, evaluator, version
