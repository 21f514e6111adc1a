-- rollup_evaluators added up by blocks of days.
-- grain: first_day (since the epoch), rollup_key, g, evaluator, version   params: $days INTEGER
-- reads: stored_rollup_evaluators
SELECT
    CAST($days AS INTEGER) AS days,
    CAST((day_unix_ns - day_unix_ns % ($days * 86400000000000)) / 86400000000000 AS INTEGER) AS first_day,
    rollup_key,
    CAST(g AS SMALLINT) AS g,
    evaluator,
    coalesce(version, '') AS version,
    CAST(sum(judged) AS DOUBLE) AS judged,
    CAST(sum(failed) AS DOUBLE) AS failed
FROM stored_rollup_evaluators
GROUP BY day_unix_ns - day_unix_ns % ($days * 86400000000000), rollup_key, g, evaluator, coalesce(version, '')
ORDER BY first_day, rollup_key, stored_rollup_evaluators.g, evaluator, version
