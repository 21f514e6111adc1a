-- The counts of several parts, added up.
-- grain: day_unix_ns, rollup_key, g, evaluator, version   params: none   reads: stored_rollup_evaluators
SELECT
    day_unix_ns,
    rollup_key,
    g,
    evaluator,
    version,
    CAST(sum(judged) AS BIGINT) AS judged,
    CAST(sum(failed) AS BIGINT) AS failed
FROM stored_rollup_evaluators
GROUP BY day_unix_ns, rollup_key, g, evaluator, version
ORDER BY day_unix_ns, rollup_key, g, evaluator, version
