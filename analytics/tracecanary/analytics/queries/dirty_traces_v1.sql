-- The traces that are derived again, from all their rows: those that new rows speak of, and those with spans in the time
-- of rows that are gone.
-- grain: trace_id   params: none   reads: new_spans, new_evaluations, live_facts, touched_ranges
SELECT trace_id FROM new_spans
UNION
SELECT trace_id FROM new_evaluations
UNION
SELECT live_facts.trace_id
FROM live_facts
INNER JOIN touched_ranges
    ON live_facts.first_span_ns <= touched_ranges.last_ns AND live_facts.last_span_ns >= touched_ranges.first_ns
