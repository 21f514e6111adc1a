-- The traces that need the whole derivation of calls (attempts_v2, calls_v1): in the others, each LLM span is one model
-- call that succeeded at once, and every span that bears tokens counts. Most traces are of that kind, and cost little.
-- Intricate is a trace with a span delivered twice, a failed LLM span, an attempt, a judge, a statement that speaks of retries or
-- fallbacks, anything below a span that asks a model or bears tokens, an agent span in the place of LLM spans, or calls
-- that more than one instrumentation tells (retold_calls_v1).
-- grain: trace_id   params: none   reads: landing_spans, trace_outlines
WITH doubtful AS (
    SELECT
        landing_spans.trace_id,
        landing_spans.span_id,
        landing_spans.parent_span_id,
        landing_spans.kind = 'llm' OR landing_spans.input_tokens IS NOT NULL OR landing_spans.output_tokens IS NOT NULL
            AS bears
    FROM landing_spans
    INNER JOIN trace_outlines AS told ON landing_spans.trace_id = told.trace_id
    WHERE
        NOT told.is_telling
        AND (
            (bit_count(told.ids) < told.spans AND bit_count(told.other_ids) < told.spans)
            OR ((told.bearing & told.parents) != 0 AND (told.other_bearing & told.other_parents) != 0)
        )
),
delivered_twice AS (
    SELECT trace_id
    FROM doubtful
    GROUP BY trace_id, span_id
    HAVING count(*) > 1
),
standing_above AS (
    SELECT upper.trace_id
    FROM doubtful AS upper
    INNER JOIN doubtful AS below ON upper.trace_id = below.trace_id AND upper.span_id = below.parent_span_id
    WHERE upper.bears
)
SELECT trace_id FROM trace_outlines WHERE is_telling OR is_asked_by_agents OR is_told_by_several
UNION
SELECT trace_id FROM delivered_twice
UNION
SELECT trace_id FROM standing_above
