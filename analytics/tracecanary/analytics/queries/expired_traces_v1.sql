-- The traces whose facts have expired, and are not deleted yet: they started before facts are kept. A trace that never
-- asked a model is as old as its first span, one of which there are judgements alone as the latest of these.
--   is_final: whether the lake may still have spans of it
-- grain: trace_id   params: $facts_from_ns, $spans_from_ns BIGINT: since when facts and spans are kept
-- reads: live_facts, live_judgements
SELECT
    trace_id,
    revision,
    first_span_ns,
    last_span_ns,
    last_span_ns >= $spans_from_ns AS is_final
FROM live_facts
WHERE coalesce(start_unix_ns, first_span_ns) < $facts_from_ns
UNION ALL
SELECT live_facts.trace_id, live_facts.revision, NULL, NULL, FALSE
FROM live_facts
INNER JOIN live_judgements ON live_facts.trace_id = live_judgements.trace_id
WHERE live_facts.first_span_ns IS NULL
GROUP BY live_facts.trace_id, live_facts.revision
HAVING max(live_judgements.received_unix_ns) < $facts_from_ns
