-- One row per canonical model that was asked for, by model calls or, in traces without any, by the agent span (the
-- same rule as trace_facts); llm_calls counts model calls only. Every attempt that is a span beside the others is a
-- call; one nested in another is not, unless it asked another model that was then left (attempts_v1: is_call). A call
-- of an embedding model is a call, too: of embedding spans of one model inside each other the innermost one, as for
-- tokens, but it makes no arm and no retry.
--   retries         resends to this model, those that are stated counting for the model asked first; null where none
--                   could be seen
--   fallbacks_from  logical calls that left this model; fallbacks_to: that ended with it
-- Tokens are null where the source has none; calls_with_tokens tells how many model calls they come from. traces counts
-- every trace that asked for the model, first or later.
-- grain: model   params: none   reads: spans, attempts, calls
WITH wrapped_embeddings AS (
    SELECT DISTINCT inner_spans.trace_id, inner_spans.parent_span_id AS span_id, inner_spans.model
    FROM spans AS inner_spans
    WHERE inner_spans.kind = 'embedding' AND inner_spans.model IS NOT NULL AND inner_spans.parent_span_id IS NOT NULL
),
asked AS (
    SELECT
        attempts.model,
        attempts.trace_id,
        attempts.is_call,
        attempts.has_failed,
        spans.input_tokens,
        spans.output_tokens,
        spans.cache_read_tokens,
        spans.cache_write_tokens,
        spans.reasoning_tokens,
        spans.reported_cost_nano_usd,
        spans.convention,
        attempts.start_unix_ns
    FROM attempts
    INNER JOIN spans ON attempts.trace_id = spans.trace_id AND attempts.span_id = spans.span_id
    WHERE attempts.model IS NOT NULL AND attempts.is_asked
    UNION ALL
    SELECT
        spans.model,
        spans.trace_id,
        TRUE,
        spans.status = 'error',
        spans.input_tokens,
        spans.output_tokens,
        spans.cache_read_tokens,
        spans.cache_write_tokens,
        spans.reasoning_tokens,
        spans.reported_cost_nano_usd,
        spans.convention,
        spans.start_unix_ns
    FROM spans
    LEFT JOIN wrapped_embeddings
        ON spans.trace_id = wrapped_embeddings.trace_id
        AND spans.span_id = wrapped_embeddings.span_id
        AND spans.model = wrapped_embeddings.model
    WHERE spans.kind = 'embedding' AND spans.model IS NOT NULL AND wrapped_embeddings.span_id IS NULL
    UNION ALL -- asked, as the application states, with no span to show for it
    SELECT calls.model, calls.trace_id, FALSE, FALSE, NULL, NULL, NULL, NULL, NULL, NULL, NULL, calls.start_unix_ns
    FROM calls
    LEFT JOIN attempts
        ON calls.trace_id = attempts.trace_id AND calls.call_id = attempts.call_id AND calls.model = attempts.model
    WHERE calls.model IS NOT NULL AND attempts.span_id IS NULL
),
resends AS (
    SELECT
        attempts.model,
        CASE WHEN attempts.link = 'retry' THEN 1 ELSE 0 END + CASE WHEN attempts.nested_link = 'retry' THEN 1 ELSE 0 END
            + coalesce(attempts.http_retries, 0) AS retries
    FROM attempts
    INNER JOIN calls ON attempts.trace_id = calls.trace_id AND attempts.call_id = calls.call_id
    WHERE calls.retry_source IN ('http_children', 'siblings')
    UNION ALL
    SELECT model, retries
    FROM calls
    WHERE retry_source = 'attribute'
),
retried AS (
    SELECT model, sum(retries) AS retries FROM resends GROUP BY model
),
left_models AS (
    SELECT fallback_from AS model, count(*) AS fallbacks_from FROM calls WHERE is_fallback GROUP BY fallback_from
),
answered AS (
    SELECT
        CASE WHEN is_fallback THEN fallback_to ELSE model END AS model,
        count(*) FILTER (WHERE is_fallback) AS fallbacks_to
    FROM calls
    WHERE is_fallback IS NOT NULL
    GROUP BY CASE WHEN is_fallback THEN fallback_to ELSE model END
)
SELECT
    asked.model,
    count(DISTINCT asked.trace_id) AS traces,
    count(*) FILTER (WHERE asked.is_call) AS llm_calls,
    count(*) FILTER (WHERE asked.is_call AND asked.has_failed) AS llm_errors,
    sum(asked.input_tokens) AS input_tokens,
    sum(asked.output_tokens) AS output_tokens,
    sum(asked.cache_read_tokens) AS cache_read_tokens,
    sum(asked.cache_write_tokens) AS cache_write_tokens,
    sum(asked.reasoning_tokens) AS reasoning_tokens,
    count(coalesce(asked.input_tokens, asked.output_tokens)) AS calls_with_tokens,
    max(retried.retries) AS retries,
    max(left_models.fallbacks_from) AS fallbacks_from,
    max(answered.fallbacks_to) AS fallbacks_to,
    sum(asked.reported_cost_nano_usd) / 1e9 AS cost_usd,
    count(asked.reported_cost_nano_usd) = count(coalesce(asked.input_tokens, asked.output_tokens))
        AND count(asked.reported_cost_nano_usd) > 0 AS priced,
    list_sort(list(DISTINCT asked.convention) FILTER (WHERE asked.convention IS NOT NULL)) AS conventions,
    min(asked.start_unix_ns) AS first_seen_unix_ns,
    max(asked.start_unix_ns) AS last_seen_unix_ns
FROM asked
LEFT JOIN retried ON asked.model = retried.model
LEFT JOIN left_models ON asked.model = left_models.model
LEFT JOIN answered ON asked.model = answered.model
GROUP BY asked.model
ORDER BY asked.model
