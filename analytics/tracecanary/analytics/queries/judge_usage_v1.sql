-- What the evaluators of a trace called and cost: a bucket of its own, beside the application's.
-- A span counts its tokens only if no span right below it bears any.
-- grain: trace_id   params: none   reads: unique_spans, judge_spans
WITH judged AS (
    SELECT unique_spans.*
    FROM unique_spans
    INNER JOIN judge_spans
        ON unique_spans.trace_id = judge_spans.trace_id AND unique_spans.span_id = judge_spans.span_id
),
token_parents AS (
    SELECT DISTINCT trace_id, parent_span_id AS span_id
    FROM judged
    WHERE parent_span_id IS NOT NULL AND (input_tokens IS NOT NULL OR output_tokens IS NOT NULL)
)
SELECT
    judged.trace_id,
    count(*) FILTER (WHERE judged.kind = 'llm') AS judge_calls,
    sum(judged.input_tokens) FILTER (WHERE token_parents.span_id IS NULL) AS judge_input_tokens,
    sum(judged.output_tokens) FILTER (WHERE token_parents.span_id IS NULL) AS judge_output_tokens,
    sum(judged.reported_cost_nano_usd) FILTER (WHERE token_parents.span_id IS NULL) AS judge_cost_nano_usd
FROM judged
LEFT JOIN token_parents ON judged.trace_id = token_parents.trace_id AND judged.span_id = token_parents.span_id
GROUP BY judged.trace_id
