-- One row per trace in which a model was called.
--   model      the model asked for first (intention to treat); models: all asked for, in order
--   context    cohort, route, ... of the root, else of the earliest span that has it
--   tokens     leaf rule: a span counts only if none below it bears tokens, since many libraries repeat totals on parents
--   cost       null unless every counted span has one: unpriced is not free
--   duration   the root span's, else the extent of the spans (has_root tells)
--   retries, fallbacks  of the trace's calls (calls_v1); null, and 'none' as source, where nothing would show one.
--              llm_calls and llm_errors count each sibling attempt, none nested in another (attempts_v1: is_call)
--   steps      distinct steps that the application numbers, else those of its framework, else logical model calls
--              (a resend is no step) and tool calls; step_source tells
--   is_error   the root failed, or the last logical model call did
-- grain: trace_id   params: none   reads: spans, attempts, calls
WITH RECURSIVE token_spans AS (
    SELECT *
    FROM spans
    WHERE input_tokens IS NOT NULL OR output_tokens IS NOT NULL
),
spans_above_tokens (trace_id, span_id) AS (
    SELECT trace_id, parent_span_id
    FROM token_spans
    WHERE parent_span_id IS NOT NULL
    UNION
    SELECT spans.trace_id, spans.parent_span_id
    FROM spans_above_tokens
    INNER JOIN spans
        ON spans_above_tokens.trace_id = spans.trace_id AND spans_above_tokens.span_id = spans.span_id
    WHERE spans.parent_span_id IS NOT NULL
),
usage AS (
    SELECT
        token_spans.trace_id,
        sum(token_spans.input_tokens) AS input_tokens,
        sum(token_spans.output_tokens) AS output_tokens,
        sum(token_spans.cache_read_tokens) AS cache_read_tokens,
        sum(token_spans.cache_write_tokens) AS cache_write_tokens,
        sum(token_spans.reasoning_tokens) AS reasoning_tokens,
        count(*) AS calls_with_tokens,
        CASE WHEN count(token_spans.reported_cost_nano_usd) = count(*)
            THEN sum(token_spans.reported_cost_nano_usd) END AS cost_nano_usd
    FROM token_spans
    LEFT JOIN spans_above_tokens
        ON token_spans.trace_id = spans_above_tokens.trace_id AND token_spans.span_id = spans_above_tokens.span_id
    WHERE spans_above_tokens.span_id IS NULL
    GROUP BY token_spans.trace_id
),
asked_calls AS (
    SELECT
        trace_id,
        sum(retries) AS retries,
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
        trace_id,
        count(*) FILTER (WHERE is_call) AS llm_calls,
        count(*) FILTER (WHERE is_call AND has_failed) AS llm_errors,
        count(DISTINCT call_id) FILTER (WHERE is_call) AS logical_calls
    FROM attempts
    GROUP BY trace_id
),
traces AS (
    SELECT
        trace_id,
        bool_or(parent_span_id IS NULL) AS has_root,
        min(start_unix_ns) AS start_unix_ns,
        max(start_unix_ns + duration_ns) - min(start_unix_ns) AS extent_ns,
        min_by(duration_ns, (start_unix_ns, span_id)) FILTER (WHERE parent_span_id IS NULL) AS root_duration_ns,
        min_by(status, (start_unix_ns, span_id)) FILTER (WHERE parent_span_id IS NULL) AS root_status,
        min_by(cohort, (parent_span_id IS NOT NULL, start_unix_ns, span_id)) FILTER (WHERE cohort IS NOT NULL)
            AS cohort,
        min_by(route, (parent_span_id IS NOT NULL, start_unix_ns, span_id)) FILTER (WHERE route IS NOT NULL) AS route,
        min_by(release, (parent_span_id IS NOT NULL, start_unix_ns, span_id)) FILTER (WHERE release IS NOT NULL)
            AS release,
        min_by(variant, (parent_span_id IS NOT NULL, start_unix_ns, span_id)) FILTER (WHERE variant IS NOT NULL)
            AS variant,
        min_by(pair_id, (parent_span_id IS NOT NULL, start_unix_ns, span_id)) FILTER (WHERE pair_id IS NOT NULL)
            AS pair_id,
        min_by(concat_ws('@', prompt_name, prompt_version), (parent_span_id IS NOT NULL, start_unix_ns, span_id))
            FILTER (WHERE prompt_name IS NOT NULL OR prompt_version IS NOT NULL) AS prompt,
        min_by(conversation_id, (parent_span_id IS NOT NULL, start_unix_ns, span_id))
            FILTER (WHERE conversation_id IS NOT NULL) AS conversation_id,
        min_by(user_id, (parent_span_id IS NOT NULL, start_unix_ns, span_id)) FILTER (WHERE user_id IS NOT NULL)
            AS user_id,
        min_by(service_name, (parent_span_id IS NOT NULL, start_unix_ns, span_id))
            FILTER (WHERE service_name IS NOT NULL) AS service_name,
        min_by(environment, (parent_span_id IS NOT NULL, start_unix_ns, span_id))
            FILTER (WHERE environment IS NOT NULL) AS environment,
        list_sort(list(DISTINCT convention) FILTER (WHERE kind = 'llm' AND convention IS NOT NULL)) AS conventions,
        min_by(scope_name, (start_unix_ns, span_id)) FILTER (WHERE kind = 'llm' AND scope_name IS NOT NULL)
            AS instrumentation,
        count(*) FILTER (WHERE kind = 'tool') AS tool_calls,
        count(*) FILTER (WHERE kind = 'tool' AND status = 'error') AS tool_errors,
        count(DISTINCT step) FILTER (WHERE step_source IS DISTINCT FROM 'framework') AS numbered_steps,
        count(DISTINCT step) FILTER (WHERE step_source = 'framework') AS framework_steps,
        max(retry_count) FILTER (
            WHERE coalesce(kind, 'other') IN ('chain', 'other', 'agent') AND retry_source IS DISTINCT FROM 'http_children'
        ) AS retries_stated,
        bool_or(coalesce(fallback_used, fallback_from IS NOT NULL OR NULL))
            FILTER (WHERE coalesce(kind, 'other') IN ('chain', 'other', 'agent')) AS is_fallback_stated,
        min_by(fallback_from, (start_unix_ns, span_id))
            FILTER (WHERE coalesce(kind, 'other') IN ('chain', 'other', 'agent') AND fallback_from IS NOT NULL)
            AS fallback_from_stated,
        sum(dropped_attributes) AS dropped_attributes
    FROM spans
    GROUP BY trace_id
)
SELECT
    traces.* EXCLUDE (
        extent_ns, root_duration_ns, root_status, numbered_steps, framework_steps, retries_stated, is_fallback_stated,
        fallback_from_stated
    ),
    asked.models[1] AS model,
    asked.models,
    coalesce(traces.root_duration_ns, traces.extent_ns) AS duration_ns,
    (coalesce(traces.root_status, 'unset') = 'error' OR coalesce(asked_calls.has_last_call_failed, FALSE)) AS is_error,
    attempts_made.llm_calls,
    attempts_made.llm_errors,
    CASE
        WHEN traces.numbered_steps > 0 THEN traces.numbered_steps
        WHEN traces.framework_steps > 0 THEN traces.framework_steps
        ELSE attempts_made.logical_calls + traces.tool_calls
    END AS steps,
    CASE
        WHEN traces.numbered_steps > 0 THEN 'attribute'
        WHEN traces.framework_steps > 0 THEN 'framework'
        ELSE 'derived'
    END AS step_source,
    -- What a span states that stands above no call, such as one beside it, speaks of the trace.
    CASE WHEN asked_calls.retry_source = 'attribute' THEN asked_calls.retries
        ELSE coalesce(traces.retries_stated, asked_calls.retries) END AS retries,
    CASE WHEN traces.retries_stated IS NOT NULL THEN 'attribute' ELSE asked_calls.retry_source END AS retry_source,
    CASE WHEN asked_calls.fallback_source = 'attribute' THEN asked_calls.is_fallback
        ELSE coalesce(traces.is_fallback_stated, asked_calls.is_fallback) END AS is_fallback,
    CASE WHEN traces.is_fallback_stated IS NOT NULL THEN 'attribute' ELSE asked_calls.fallback_source END
        AS fallback_source,
    coalesce(asked_calls.fallback_from, traces.fallback_from_stated) AS fallback_from,
    asked_calls.fallback_to,
    usage.input_tokens,
    usage.output_tokens,
    usage.cache_read_tokens,
    usage.cache_write_tokens,
    usage.reasoning_tokens,
    coalesce(usage.calls_with_tokens, 0) AS calls_with_tokens,
    usage.cost_nano_usd
FROM traces
INNER JOIN asked ON traces.trace_id = asked.trace_id
INNER JOIN asked_calls ON traces.trace_id = asked_calls.trace_id
INNER JOIN attempts_made ON traces.trace_id = attempts_made.trace_id
LEFT JOIN usage ON traces.trace_id = usage.trace_id
