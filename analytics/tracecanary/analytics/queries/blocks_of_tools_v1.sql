-- rollup_tools added up by blocks of days.
-- grain: first_day (since the epoch), rollup_key, tool_version   params: $days INTEGER   reads: stored_rollup_tools
SELECT
    CAST($days AS INTEGER) AS days,
    CAST((day_unix_ns - day_unix_ns % ($days * 86400000000000)) / 86400000000000 AS INTEGER) AS first_day,
    rollup_key,
    tool_version,
    CAST(sum(traces) AS DOUBLE) AS traces
FROM stored_rollup_tools
GROUP BY day_unix_ns - day_unix_ns % ($days * 86400000000000), rollup_key, tool_version
ORDER BY first_day, rollup_key, tool_version
