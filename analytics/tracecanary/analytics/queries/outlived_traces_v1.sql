-- The traces that have outlived their spans, or the first of them: these are not there to derive them from again.
-- grain: trace_id   params: none   reads: live_facts, retention
SELECT live_facts.trace_id
FROM live_facts
INNER JOIN retention ON live_facts.first_span_ns < retention.spans_from_ns
