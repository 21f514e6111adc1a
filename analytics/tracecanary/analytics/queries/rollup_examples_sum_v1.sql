-- The examples of several parts that are not superseded: the three most worth opening of each day and rollup key. A trace
-- that a part left out does not come back when a better one is superseded.
-- grain: trace_id   params: none   reads: stored_rollup_examples, stored_superseded
SELECT day_unix_ns, rollup_key, revision, trace_id, start_unix_ns, has_failed, is_error, duration_ns
FROM (
    SELECT
        stored_rollup_examples.*,
        row_number() OVER (
            PARTITION BY stored_rollup_examples.day_unix_ns, stored_rollup_examples.rollup_key
            ORDER BY
                stored_rollup_examples.has_failed DESC, stored_rollup_examples.is_error DESC,
                stored_rollup_examples.duration_ns DESC, stored_rollup_examples.trace_id
        ) AS place
    FROM stored_rollup_examples
    LEFT JOIN stored_superseded
        ON stored_rollup_examples.trace_id = stored_superseded.trace_id
        AND stored_rollup_examples.revision < stored_superseded.revision
    WHERE stored_superseded.trace_id IS NULL
) AS live
WHERE place <= 3
ORDER BY day_unix_ns, rollup_key, trace_id
