-- One row per canonical model that was asked for, by model calls or, in traces without any, by the agent span (the
-- same rule as trace_facts); llm_calls counts model calls only. Tokens are null where the source has none; calls_with_tokens tells
-- how many model calls they come from. traces counts every trace that asked for the model, first or later.
-- grain: model   params: none   reads: spans
WITH calls AS (
    SELECT *
    FROM (
        SELECT
            spans.*,
            bool_or(kind = 'llm' AND model IS NOT NULL) OVER (PARTITION BY trace_id) AS has_llm_span
        FROM spans
    ) AS marked
    WHERE marked.model IS NOT NULL AND (marked.kind = 'llm' OR (marked.kind = 'agent' AND NOT marked.has_llm_span))
),
fallbacks AS (
    SELECT fallback_from AS model, count(*) AS fallbacks_from
    FROM spans
    WHERE fallback_used AND fallback_from IS NOT NULL
    GROUP BY fallback_from
)
SELECT
    calls.model,
    count(DISTINCT calls.trace_id) AS traces,
    count(*) FILTER (WHERE calls.kind = 'llm') AS llm_calls,
    count(*) FILTER (WHERE calls.kind = 'llm' AND calls.status = 'error') AS llm_errors,
    sum(calls.input_tokens) AS input_tokens,
    sum(calls.output_tokens) AS output_tokens,
    sum(calls.cache_read_tokens) AS cache_read_tokens,
    sum(calls.cache_write_tokens) AS cache_write_tokens,
    sum(calls.reasoning_tokens) AS reasoning_tokens,
    count(coalesce(calls.input_tokens, calls.output_tokens)) AS calls_with_tokens,
    sum(calls.retry_count) AS retries,
    max(fallbacks.fallbacks_from) AS fallbacks_from,
    CASE WHEN bool_or(calls.fallback_used IS NOT NULL) THEN count(*) FILTER (WHERE calls.fallback_used) END
        AS fallbacks_to,
    sum(calls.reported_cost_nano_usd) / 1e9 AS cost_usd,
    count(calls.reported_cost_nano_usd) = count(coalesce(calls.input_tokens, calls.output_tokens))
        AND count(calls.reported_cost_nano_usd) > 0 AS priced,
    list_sort(list(DISTINCT calls.convention) FILTER (WHERE calls.convention IS NOT NULL)) AS conventions,
    min(calls.start_unix_ns) AS first_seen_unix_ns,
    max(calls.start_unix_ns) AS last_seen_unix_ns
FROM calls
LEFT JOIN fallbacks ON calls.model = fallbacks.model
GROUP BY calls.model
ORDER BY calls.model
