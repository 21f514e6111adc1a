-- Traces by hour and rollup key.
-- grain: hour_unix_ns, rollup_key   params: none   reads: stored_rollup_hours
SELECT hour_unix_ns, rollup_key, CAST(sum(traces) AS BIGINT) AS traces
FROM stored_rollup_hours
GROUP BY hour_unix_ns, rollup_key
HAVING sum(traces) != 0
ORDER BY hour_unix_ns, rollup_key
