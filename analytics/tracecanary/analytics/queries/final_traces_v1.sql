-- The traces that new spans speak of and that have outlived spans of theirs: what is known of them is not replaced by
-- what the few spans say that came late.
-- grain: trace_id   params: none   reads: live_facts, retention, arrived_spans
SELECT live_facts.trace_id
FROM live_facts
INNER JOIN retention ON live_facts.first_span_ns < retention.spans_from_ns
WHERE live_facts.trace_id IN (SELECT trace_id FROM arrived_spans)
