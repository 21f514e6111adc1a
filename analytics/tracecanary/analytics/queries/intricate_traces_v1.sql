-- The traces that need the whole derivation of calls (attempts_v1, calls_v1): in the others, each LLM span is one model
-- call that succeeded at once, and every span that bears tokens counts. Most traces are of that kind, and cost little.
-- Intricate is a trace with a span delivered twice, a failed LLM span, an attempt, a judge, a statement on retries or
-- fallbacks, anything below a span that asks a model or bears tokens, or an agent span in the place of LLM spans.
-- grain: trace_id   params: none   reads: landing_spans
WITH telling AS (
    SELECT trace_id
    FROM landing_spans
    WHERE
        kind IN ('attempt', 'evaluator')
        OR (kind = 'llm' AND status = 'error')
        OR retry_count IS NOT NULL
        OR fallback_used IS NOT NULL
        OR fallback_from IS NOT NULL
        OR parent_span_id = span_id
        OR attributes['pydantic_ai.model_request.attempt'] IS NOT NULL
),
delivered_twice AS (
    SELECT trace_id
    FROM landing_spans
    GROUP BY trace_id, span_id
    HAVING count(*) > 1
),
standing_above AS (
    SELECT upper.trace_id
    FROM landing_spans AS upper
    INNER JOIN landing_spans AS below ON upper.trace_id = below.trace_id AND upper.span_id = below.parent_span_id
    WHERE upper.kind = 'llm' OR upper.input_tokens IS NOT NULL OR upper.output_tokens IS NOT NULL
),
asked_by_agents AS (
    SELECT trace_id
    FROM landing_spans
    WHERE kind IN ('llm', 'agent')
    GROUP BY trace_id
    HAVING
        count(*) FILTER (WHERE kind = 'agent' AND coalesce(model, attributes['gen_ai.request.model']) IS NOT NULL) > 0
        AND count(*) FILTER (WHERE kind = 'llm' AND coalesce(model, attributes['gen_ai.request.model']) IS NOT NULL) = 0
)
SELECT trace_id FROM telling
UNION
SELECT trace_id FROM delivered_twice
UNION
SELECT trace_id FROM standing_above
UNION
SELECT trace_id FROM asked_by_agents
