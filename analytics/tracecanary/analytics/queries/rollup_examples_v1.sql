-- The three traces most worth opening of each day and rollup key: failed ones first, then errors, then the slowest.
-- grain: trace_id   params: $revision BIGINT   reads: rolled
SELECT
    day_unix_ns,
    rollup_key,
    CAST($revision AS BIGINT) AS revision,
    example.trace_id AS trace_id,
    example.start_unix_ns AS start_unix_ns,
    NOT example.has_not_failed AS has_failed,
    NOT example.is_no_error AS is_error,
    -example.negative_duration_ns AS duration_ns
FROM (
    SELECT day_unix_ns, rollup_key, unnest(worst) AS example
    FROM (
        SELECT
            day_unix_ns,
            rollup_key,
            min({
                'has_not_failed': NOT coalesce(has_failed, FALSE),
                'is_no_error': NOT is_error,
                'negative_duration_ns': -duration_ns,
                'trace_id': trace_id,
                'start_unix_ns': start_unix_ns
            }, 3) AS worst
        FROM rolled
        WHERE sign = 1
        GROUP BY day_unix_ns, rollup_key
    ) AS ranked
) AS examples
ORDER BY day_unix_ns, rollup_key, trace_id
