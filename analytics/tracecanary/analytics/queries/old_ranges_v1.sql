-- When the known spans of the traces derived again start: where to look for them. Widened to whole widths, so that
-- there are few.
-- grain: first_ns, last_ns   params: $width_ns BIGINT   reads: old_facts
SELECT DISTINCT
    first_span_ns - first_span_ns % $width_ns AS first_ns,
    last_span_ns - last_span_ns % $width_ns + $width_ns - 1 AS last_ns
FROM old_facts
WHERE first_span_ns IS NOT NULL
ORDER BY first_ns, last_ns
