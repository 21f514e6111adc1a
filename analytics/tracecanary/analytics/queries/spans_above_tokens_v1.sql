-- The spans that stand above one that bears tokens: their own tokens repeat what is below them, and don't count.
-- grain: trace_id, span_id   params: none   reads: spans
WITH RECURSIVE climbing (trace_id, span_id) AS (
    SELECT trace_id, parent_span_id
    FROM spans
    WHERE parent_span_id IS NOT NULL AND (input_tokens IS NOT NULL OR output_tokens IS NOT NULL)
    UNION
    SELECT spans.trace_id, spans.parent_span_id
    FROM climbing
    INNER JOIN spans ON climbing.trace_id = spans.trace_id AND climbing.span_id = spans.span_id
    WHERE spans.parent_span_id IS NOT NULL
)
SELECT trace_id, span_id FROM climbing
