-- The traces of several parts, added up.
-- grain: day_unix_ns, rollup_key, tool_version   params: none   reads: stored_rollup_tools
SELECT
    day_unix_ns,
    rollup_key,
    tool_version,
    CAST(sum(traces) AS BIGINT) AS traces
FROM stored_rollup_tools
GROUP BY day_unix_ns, rollup_key, tool_version
ORDER BY day_unix_ns, rollup_key, tool_version
