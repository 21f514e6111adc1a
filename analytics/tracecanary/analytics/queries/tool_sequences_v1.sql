-- The tools that each compared trace called, in order of time.
-- grain: trace_id   params: none   reads: spans, compared_traces
SELECT
    compared_traces.trace_id,
    list(coalesce(spans.tool_name, '(none)') ORDER BY spans.start_unix_ns, spans.span_id)
        FILTER (WHERE spans.kind = 'tool') AS tools
FROM compared_traces
INNER JOIN spans ON compared_traces.trace_id = spans.trace_id
GROUP BY compared_traces.trace_id
ORDER BY compared_traces.trace_id
