-- What the spans of intricate traces say of each model: asked, answered with, resent to or left (see models_v2).
-- Tokens are those of the innermost span of a call that has them, as in trace_facts, and count for the model that the
-- call asked; a span of kind attempt repeats what the call around it says.
-- grain: none, to be added up   params: none   reads: spans, priced_spans, attempts, calls
WITH RECURSIVE bearing AS (
    SELECT attempts.trace_id, attempts.span_id, attempts.outer_id
    FROM attempts
    INNER JOIN spans ON attempts.trace_id = spans.trace_id AND attempts.span_id = spans.span_id
    WHERE coalesce(spans.input_tokens, spans.output_tokens) IS NOT NULL AND spans.kind != 'attempt'
),
repeating (trace_id, span_id) AS (
    SELECT trace_id, outer_id
    FROM bearing
    WHERE outer_id IS NOT NULL
    UNION
    SELECT attempts.trace_id, attempts.outer_id
    FROM repeating
    INNER JOIN attempts ON repeating.trace_id = attempts.trace_id AND repeating.span_id = attempts.span_id
    WHERE attempts.outer_id IS NOT NULL
),
inner_bearing AS (
    SELECT bearing.trace_id, bearing.span_id, tops.model
    FROM bearing
    INNER JOIN attempts ON bearing.trace_id = attempts.trace_id AND bearing.span_id = attempts.span_id
    INNER JOIN attempts AS tops ON attempts.trace_id = tops.trace_id AND attempts.top_span_id = tops.span_id
    LEFT JOIN repeating ON bearing.trace_id = repeating.trace_id AND bearing.span_id = repeating.span_id
    WHERE repeating.span_id IS NULL AND NOT attempts.is_asked AND tops.model IS NOT NULL
)
SELECT
    attempts.trace_id,
    attempts.model,
    TRUE AS is_asked,
    attempts.is_call,
    attempts.is_call AND attempts.has_failed AS is_failed_call,
    CASE WHEN repeating.span_id IS NULL THEN spans.input_tokens END AS input_tokens,
    CASE WHEN repeating.span_id IS NULL THEN spans.output_tokens END AS output_tokens,
    CASE WHEN repeating.span_id IS NULL THEN spans.cache_read_tokens END AS cache_read_tokens,
    CASE WHEN repeating.span_id IS NULL THEN spans.cache_write_tokens END AS cache_write_tokens,
    CASE WHEN repeating.span_id IS NULL THEN spans.reasoning_tokens END AS reasoning_tokens,
    CASE WHEN repeating.span_id IS NULL THEN priced_spans.reported_cost_nano_usd END AS reported_cost_nano_usd,
    CASE WHEN repeating.span_id IS NULL THEN priced_spans.computed_cost_nano_usd END AS computed_cost_nano_usd,
    CASE WHEN repeating.span_id IS NULL THEN priced_spans.cost_nano_usd END AS cost_nano_usd,
    spans.convention,
    attempts.start_unix_ns,
    CAST(NULL AS BIGINT) AS retries,
    FALSE AS is_left,
    CAST(NULL AS BOOLEAN) AS is_fallen_back_to
FROM attempts
INNER JOIN spans ON attempts.trace_id = spans.trace_id AND attempts.span_id = spans.span_id
LEFT JOIN priced_spans ON attempts.trace_id = priced_spans.trace_id AND attempts.span_id = priced_spans.span_id
LEFT JOIN repeating ON attempts.trace_id = repeating.trace_id AND attempts.span_id = repeating.span_id
WHERE attempts.model IS NOT NULL AND attempts.is_asked
UNION ALL BY NAME -- the tokens of a call that stand on a span inside it
SELECT
    inner_bearing.trace_id,
    inner_bearing.model,
    FALSE AS is_asked,
    FALSE AS is_call,
    FALSE AS is_failed_call,
    spans.input_tokens,
    spans.output_tokens,
    spans.cache_read_tokens,
    spans.cache_write_tokens,
    spans.reasoning_tokens,
    priced_spans.reported_cost_nano_usd,
    priced_spans.computed_cost_nano_usd,
    priced_spans.cost_nano_usd,
    spans.convention,
    spans.start_unix_ns
FROM inner_bearing
INNER JOIN spans ON inner_bearing.trace_id = spans.trace_id AND inner_bearing.span_id = spans.span_id
LEFT JOIN priced_spans
    ON inner_bearing.trace_id = priced_spans.trace_id AND inner_bearing.span_id = priced_spans.span_id
UNION ALL BY NAME -- asked, as the application states, with no span to show for it
SELECT calls.trace_id, calls.model, TRUE AS is_asked, FALSE AS is_call, FALSE AS is_failed_call, calls.start_unix_ns
FROM calls
LEFT JOIN attempts
    ON calls.trace_id = attempts.trace_id AND calls.call_id = attempts.call_id AND calls.model = attempts.model
WHERE calls.model IS NOT NULL AND attempts.span_id IS NULL
UNION ALL BY NAME
SELECT
    attempts.trace_id,
    attempts.model,
    CASE WHEN attempts.link = 'retry' THEN 1 ELSE 0 END + CASE WHEN attempts.nested_link = 'retry' THEN 1 ELSE 0 END
        + coalesce(attempts.http_retries, 0) AS retries
FROM attempts
INNER JOIN calls ON attempts.trace_id = calls.trace_id AND attempts.call_id = calls.call_id
WHERE calls.retry_source IN ('http_children', 'siblings') AND attempts.model IS NOT NULL
UNION ALL BY NAME
SELECT trace_id, model, retries
FROM calls
WHERE retry_source = 'attribute' AND model IS NOT NULL
UNION ALL BY NAME
SELECT trace_id, fallback_from AS model, TRUE AS is_left
FROM calls
WHERE is_fallback AND fallback_from IS NOT NULL
UNION ALL BY NAME
SELECT trace_id, CASE WHEN is_fallback THEN fallback_to ELSE model END AS model, is_fallback AS is_fallen_back_to
FROM calls
WHERE is_fallback IS NOT NULL AND CASE WHEN is_fallback THEN fallback_to ELSE model END IS NOT NULL
