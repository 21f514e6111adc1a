-- The span that each response whose evaluations are placed again comes from: the first one, if several have its id.
-- grain: response_id   params: none   reads: dirty_responses, answering_spans, live_facts, rederived_traces
SELECT
    response_id,
    min_by(trace_id, (start_unix_ns, trace_id, span_id)) AS trace_id,
    min_by(span_id, (start_unix_ns, trace_id, span_id)) AS span_id
FROM (
    SELECT trace_id, span_id, response_id, start_unix_ns
    FROM answering_spans
    UNION ALL
    SELECT kept.trace_id, kept.answer.span_id, kept.answer.response_id, kept.answer.start_unix_ns
    FROM (
        SELECT live_facts.trace_id, unnest(live_facts.answers) AS answer
        FROM live_facts
        LEFT JOIN rederived_traces ON live_facts.trace_id = rederived_traces.trace_id
        WHERE rederived_traces.trace_id IS NULL AND EXISTS (SELECT 1 FROM dirty_responses)
    ) AS kept
) AS answering
WHERE response_id IN (SELECT response_id FROM dirty_responses)
GROUP BY response_id
