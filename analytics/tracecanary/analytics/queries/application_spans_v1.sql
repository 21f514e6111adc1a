-- The spans of intricate traces but for those of evaluators.
-- grain: trace_id, span_id   params: none   reads: unique_spans, judge_spans
SELECT unique_spans.*
FROM unique_spans
LEFT JOIN judge_spans
    ON unique_spans.trace_id = judge_spans.trace_id AND unique_spans.span_id = judge_spans.span_id
WHERE judge_spans.span_id IS NULL
