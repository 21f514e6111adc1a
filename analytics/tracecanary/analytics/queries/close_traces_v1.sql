-- The traces that need a closer look than trace_outlines_v3 takes: intricate ones, and those with several roots, several
-- models, uneven surroundings, or tokens and costs in other places than on their LLM spans. A trace in which nothing asks
-- a model or bears tokens needs none.
-- grain: trace_id   params: none   reads: intricate_traces, trace_outlines, contexts, call_contexts
SELECT trace_id FROM intricate_traces
UNION
SELECT trace_outlines.trace_id
FROM trace_outlines
LEFT JOIN contexts ON trace_outlines.context_key = contexts.context_key
LEFT JOIN call_contexts ON trace_outlines.call_key = call_contexts.call_key
WHERE
    trace_outlines.is_odd
    OR (
        trace_outlines.llm_calls > 0
        AND (
            trace_outlines.roots > 1
            OR trace_outlines.first_model != trace_outlines.last_model
            OR NOT trace_outlines.is_same_context
            OR NOT trace_outlines.is_same_call_context
            OR NOT trace_outlines.is_same_user
            OR contexts.context_key IS NULL
            OR call_contexts.call_key IS NULL
            OR trace_outlines.first_unpriced_model != trace_outlines.last_unpriced_model
            -- Of some calls both costs are known, of others one.
            OR (
                trace_outlines.reported_costs_known > 0
                AND trace_outlines.computed_costs_known > 0
                AND (
                    trace_outlines.reported_costs_known < trace_outlines.calls_with_tokens
                    OR trace_outlines.computed_costs_known < trace_outlines.calls_with_tokens
                )
            )
        )
    )
