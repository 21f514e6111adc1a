-- Traces by day, rollup key and the version of a tool or retriever that they called: name@version.
-- grain: day_unix_ns, rollup_key, tool_version   params: none   reads: rolled
SELECT
    day_unix_ns,
    rollup_key,
    tool_version,
    CAST(sum(sign) AS BIGINT) AS traces
FROM (
    SELECT
        start_unix_ns - start_unix_ns % 86400000000000 AS day_unix_ns,
        rollup_key,
        sign,
        unnest(tool_versions) AS tool_version
    FROM rolled
    WHERE tool_versions IS NOT NULL
) AS versioned
GROUP BY day_unix_ns, rollup_key, tool_version
ORDER BY day_unix_ns, rollup_key, tool_version
