-- The spans of evaluators: each of kind evaluator, and everything below one. What they call and cost is not the
-- application's, and says nothing of the arm.
-- grain: trace_id, span_id   params: none   reads: unique_spans
WITH RECURSIVE judging (trace_id, span_id) AS (
    SELECT trace_id, span_id
    FROM unique_spans
    WHERE kind = 'evaluator'
    UNION
    SELECT unique_spans.trace_id, unique_spans.span_id
    FROM judging
    INNER JOIN unique_spans
        ON judging.trace_id = unique_spans.trace_id AND judging.span_id = unique_spans.parent_span_id
)
SELECT trace_id, span_id FROM judging
