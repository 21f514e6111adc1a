-- Traces of each rollup key by hour within a time, and when the first and the last of them started.
-- grain: hour_unix_ns, rollup_key   params: $from_ns, $to_ns BIGINT (from inclusive, to exclusive)   reads: live_facts
SELECT
    start_unix_ns - start_unix_ns % 3600000000000 AS hour_unix_ns,
    rollup_key,
    count(*) AS traces,
    min(start_unix_ns) AS first_start_unix_ns,
    max(start_unix_ns) AS last_start_unix_ns
FROM live_facts
WHERE rollup_key IS NOT NULL AND start_unix_ns >= $from_ns AND start_unix_ns < $to_ns
GROUP BY start_unix_ns - start_unix_ns % 3600000000000, rollup_key
ORDER BY hour_unix_ns, rollup_key
