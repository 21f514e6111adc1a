-- The span that each response whose evaluations are placed again comes from: the first one, if several have its id.
-- grain: response_id   params: none   reads: dirty_responses, answering_spans, live_responses, rederived_traces
SELECT
    response_id,
    min_by(trace_id, (start_unix_ns, trace_id, span_id)) AS trace_id,
    min_by(span_id, (start_unix_ns, trace_id, span_id)) AS span_id
FROM (
    SELECT trace_id, span_id, response_id, start_unix_ns
    FROM answering_spans
    WHERE response_id IN (SELECT response_id FROM dirty_responses)
    UNION ALL
    SELECT live_responses.trace_id, live_responses.span_id, live_responses.response_id, live_responses.start_unix_ns
    FROM live_responses
    INNER JOIN dirty_responses ON live_responses.response_id = dirty_responses.response_id
    LEFT JOIN rederived_traces ON live_responses.trace_id = rederived_traces.trace_id
    WHERE rederived_traces.trace_id IS NULL
) AS answering
GROUP BY response_id
