-- How many new spans came too late to count.
-- grain: one row   params: none   reads: arrived_spans, retention, final_traces
SELECT count(*) AS spans
FROM arrived_spans
INNER JOIN retention ON TRUE
WHERE
    arrived_spans.start_unix_ns < retention.spans_from_ns
    OR arrived_spans.trace_id IN (SELECT trace_id FROM final_traces)
