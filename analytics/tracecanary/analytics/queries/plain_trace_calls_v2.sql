-- The same as trace_calls, of traces that are not intricate: each LLM span is one call that succeeded at once.
-- grain: trace_id   params: none   reads: priced_spans, intricate_traces
WITH asked AS (
    SELECT
        priced_spans.trace_id,
        priced_spans.asked_model AS model,
        priced_spans.start_unix_ns,
        priced_spans.duration_ns,
        priced_spans.retry_count,
        priced_spans.fallback_used
    FROM priced_spans
    LEFT JOIN intricate_traces ON priced_spans.trace_id = intricate_traces.trace_id
    WHERE priced_spans.kind = 'llm' AND intricate_traces.trace_id IS NULL
),
made AS (
    SELECT
        trace_id,
        min(model) AS first_model,
        max(model) AS last_model,
        count(*) AS llm_calls,
        count(retry_count) AS retries_denied,
        count(fallback_used) AS fallbacks_denied,
        CAST(least(sum(duration_ns), 9000000000000000000) AS BIGINT) AS llm_duration_ns
    FROM asked
    GROUP BY trace_id
),
several AS (
    SELECT trace_id, list(model ORDER BY start_unix_ns, model) AS models
    FROM (
        SELECT asked.trace_id, asked.model, min(asked.start_unix_ns) AS start_unix_ns
        FROM asked
        INNER JOIN made ON asked.trace_id = made.trace_id
        WHERE asked.model IS NOT NULL AND made.first_model != made.last_model
        GROUP BY asked.trace_id, asked.model
    ) AS mentions
    GROUP BY trace_id
)
SELECT
    made.trace_id,
    CASE WHEN made.retries_denied > 0 THEN CAST(0 AS BIGINT) END AS retries,
    CASE WHEN made.retries_denied > 0 THEN 'attribute' ELSE 'none' END AS retry_source,
    CASE WHEN made.fallbacks_denied > 0 THEN FALSE END AS is_fallback,
    CASE WHEN made.fallbacks_denied > 0 THEN 'attribute' ELSE 'none' END AS fallback_source,
    CAST(NULL AS VARCHAR) AS fallback_from,
    CAST(NULL AS VARCHAR) AS fallback_to,
    FALSE AS has_last_call_failed,
    coalesce(several.models, [made.first_model]) AS models,
    made.llm_calls,
    CAST(0 AS BIGINT) AS llm_errors,
    made.llm_calls AS logical_calls,
    made.llm_duration_ns
FROM made
LEFT JOIN several ON made.trace_id = several.trace_id
WHERE made.first_model IS NOT NULL
