-- The spans, derived now, that an evaluation may name by gen_ai.response.id; those of evaluators, too.
-- grain: trace_id, span_id   params: none   reads: unique_spans, plain_spans, ordinary_spans
SELECT trace_id, span_id, response_id, start_unix_ns
FROM unique_spans
WHERE response_id IS NOT NULL
UNION ALL
SELECT trace_id, span_id, response_id, start_unix_ns
FROM plain_spans
WHERE response_id IS NOT NULL
UNION ALL
SELECT trace_id, span_id, response_id, start_unix_ns
FROM ordinary_spans
WHERE response_id IS NOT NULL
