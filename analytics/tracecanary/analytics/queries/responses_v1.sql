-- The spans that have a gen_ai.response.id, by which evaluations may name them: what is kept of them.
-- grain: trace_id, span_id   params: none   reads: step, answering_spans, old_responses, rederived_traces
SELECT step.revision, answering_spans.*
FROM answering_spans
CROSS JOIN step
UNION ALL -- only judged again: what is known of the spans stays
SELECT
    step.revision,
    old_responses.trace_id,
    old_responses.span_id,
    old_responses.response_id,
    old_responses.start_unix_ns
FROM old_responses
CROSS JOIN step
LEFT JOIN rederived_traces ON old_responses.trace_id = rederived_traces.trace_id
WHERE rederived_traces.trace_id IS NULL
