-- What the model calls of a trace come to: models asked in order, how often, and what became of it.
-- Durations are sums over calls, so that calls beside each other count each.
-- grain: trace_id   params: none   reads: attempts, calls, spans
WITH asked_calls AS (
    SELECT
        trace_id,
        CAST(sum(retries) AS BIGINT) AS retries,
        CASE min(CASE retry_source WHEN 'attribute' THEN 1 WHEN 'http_children' THEN 2 WHEN 'siblings' THEN 3 ELSE 4 END)
            WHEN 1 THEN 'attribute' WHEN 2 THEN 'http_children' WHEN 3 THEN 'siblings' ELSE 'none' END AS retry_source,
        bool_or(is_fallback) AS is_fallback,
        CASE min(CASE fallback_source WHEN 'attribute' THEN 1 WHEN 'siblings' THEN 2 ELSE 3 END)
            WHEN 1 THEN 'attribute' WHEN 2 THEN 'siblings' ELSE 'none' END AS fallback_source,
        min_by(fallback_from, (start_unix_ns, call_id)) FILTER (WHERE is_fallback) AS fallback_from,
        min_by(fallback_to, (start_unix_ns, call_id)) FILTER (WHERE is_fallback) AS fallback_to,
        max_by(has_failed, (start_unix_ns, call_id)) AS has_last_call_failed
    FROM calls
    GROUP BY trace_id
),
asked_models AS (
    SELECT trace_id, model, start_unix_ns, 0 AS place
    FROM calls
    WHERE model IS NOT NULL
    UNION ALL
    SELECT attempts.trace_id, attempts.model, calls.start_unix_ns, attempts.attempt_number
    FROM attempts
    INNER JOIN calls ON attempts.trace_id = calls.trace_id AND attempts.call_id = calls.call_id
    WHERE attempts.is_asked AND attempts.model IS NOT NULL
),
asked AS (
    SELECT trace_id, list(model ORDER BY start_unix_ns, place, model) AS models
    FROM (
        SELECT
            asked_models.*,
            row_number() OVER (PARTITION BY trace_id, model ORDER BY start_unix_ns, place) AS mention
        FROM asked_models
    ) AS mentions
    WHERE mention = 1
    GROUP BY trace_id
),
attempts_made AS (
    SELECT
        attempts.trace_id,
        count(*) FILTER (WHERE attempts.is_call) AS llm_calls,
        count(*) FILTER (WHERE attempts.is_call AND attempts.has_failed) AS llm_errors,
        count(DISTINCT attempts.call_id) FILTER (WHERE attempts.is_call) AS logical_calls,
        sum(spans.duration_ns) FILTER (WHERE attempts.is_call AND NOT attempts.is_nested)
            AS llm_duration_ns
    FROM attempts
    INNER JOIN spans ON attempts.trace_id = spans.trace_id AND attempts.span_id = spans.span_id
    GROUP BY attempts.trace_id
)
SELECT
    asked_calls.*,
    asked.models,
    attempts_made.llm_calls,
    attempts_made.llm_errors,
    attempts_made.logical_calls,
    CAST(
        CASE
            WHEN attempts_made.llm_duration_ns > 9000000000000000000 THEN 9000000000000000000
            ELSE attempts_made.llm_duration_ns
        END AS BIGINT
    ) AS llm_duration_ns
FROM asked_calls
INNER JOIN asked ON asked_calls.trace_id = asked.trace_id
INNER JOIN attempts_made ON asked_calls.trace_id = attempts_made.trace_id
