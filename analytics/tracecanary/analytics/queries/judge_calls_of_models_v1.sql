-- What the spans of evaluators say of each model: each LLM span is a call, but for one around another.
-- grain: trace_id, span_id   params: none   reads: unique_spans, judge_spans, priced_spans
WITH judging AS (
    SELECT unique_spans.*
    FROM unique_spans
    INNER JOIN judge_spans
        ON unique_spans.trace_id = judge_spans.trace_id AND unique_spans.span_id = judge_spans.span_id
    WHERE unique_spans.kind = 'llm' AND unique_spans.model IS NOT NULL
),
wrapped AS (
    SELECT DISTINCT trace_id, parent_span_id AS span_id
    FROM judging
    WHERE parent_span_id IS NOT NULL
)
SELECT
    judging.trace_id,
    judging.model,
    TRUE AS is_judge,
    TRUE AS is_asked,
    TRUE AS is_call,
    judging.status = 'error' AS is_failed_call,
    judging.input_tokens,
    judging.output_tokens,
    judging.cache_read_tokens,
    judging.cache_write_tokens,
    judging.reasoning_tokens,
    priced_spans.reported_cost_nano_usd,
    priced_spans.computed_cost_nano_usd,
    priced_spans.cost_nano_usd,
    judging.convention,
    judging.start_unix_ns
FROM judging
LEFT JOIN wrapped ON judging.trace_id = wrapped.trace_id AND judging.span_id = wrapped.span_id
LEFT JOIN priced_spans ON judging.trace_id = priced_spans.trace_id AND judging.span_id = priced_spans.span_id
WHERE wrapped.span_id IS NULL
