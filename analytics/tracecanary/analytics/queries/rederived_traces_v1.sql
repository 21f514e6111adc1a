-- The dirty traces whose spans changed; of the others only the judgements did, and what is known of their spans stays.
-- So does what is known of traces that have outlived their first spans.
-- grain: trace_id   params: none   reads: new_spans, live_facts, touched_ranges, retention
SELECT trace_id FROM new_spans
UNION
SELECT live_facts.trace_id
FROM live_facts
INNER JOIN touched_ranges
    ON live_facts.first_span_ns <= touched_ranges.last_ns AND live_facts.last_span_ns >= touched_ranges.first_ns
INNER JOIN retention ON live_facts.first_span_ns >= retention.spans_from_ns
