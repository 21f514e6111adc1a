-- When the known spans of traces start whose spans are derived again: where to look for them. Widened to whole widths, so that
-- there are few; a span may claim to start in the last hour that 64 bits can hold.
-- grain: first_ns, last_ns   params: $width_ns BIGINT   reads: old_facts, rederived_traces
SELECT DISTINCT
    first_span_ns - first_span_ns % $width_ns AS first_ns,
    least(last_span_ns - last_span_ns % $width_ns, 9223372036854775807 - ($width_ns - 1)) + ($width_ns - 1) AS last_ns
FROM old_facts
WHERE first_span_ns IS NOT NULL AND trace_id IN (SELECT trace_id FROM rederived_traces)
ORDER BY first_ns, last_ns
