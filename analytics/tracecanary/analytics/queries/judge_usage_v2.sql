-- What the evaluators of a trace called and cost: a bucket of its own, beside the application's.
-- A span counts its tokens only if no span right below it bears any. The cost is null unless all that count have one.
-- grain: trace_id   params: none   reads: unique_spans, judge_spans, priced_spans
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
),
billed AS (
    SELECT priced_spans.trace_id, priced_spans.span_id, priced_spans.cost_nano_usd, TRUE AS is_counted
    FROM priced_spans
    INNER JOIN judged ON priced_spans.trace_id = judged.trace_id AND priced_spans.span_id = judged.span_id
    LEFT JOIN token_parents
        ON priced_spans.trace_id = token_parents.trace_id AND priced_spans.span_id = token_parents.span_id
    WHERE priced_spans.bears_tokens AND token_parents.span_id IS NULL
)
SELECT
    judged.trace_id,
    count(*) FILTER (WHERE judged.kind = 'llm') AS judge_calls,
    sum(judged.input_tokens) FILTER (WHERE billed.is_counted) AS judge_input_tokens,
    sum(judged.output_tokens) FILTER (WHERE billed.is_counted) AS judge_output_tokens,
    CASE WHEN count(billed.cost_nano_usd) = count(billed.is_counted) THEN sum(billed.cost_nano_usd) END
        AS judge_cost_nano_usd
FROM judged
LEFT JOIN billed ON judged.trace_id = billed.trace_id AND judged.span_id = billed.span_id
GROUP BY judged.trace_id
