-- One row per trace in which a model was called.
--   model      the model asked for first (intention to treat); models: all asked for, in order
--   context    cohort, route, ... of the root, else of the earliest span that has it
--   tokens     leaf rule: a span counts only if none below it bears tokens, since many libraries repeat totals on parents
--   cost       null unless every counted span has one: unpriced is not free
--   duration   the root span's, else the extent of the spans (has_root tells)
-- grain: trace_id   params: none   reads: spans
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
-- Some SDKs name the model on the agent span alone; where model calls are traced, those count.
calls AS (
    SELECT marked.trace_id, marked.span_id, marked.model, marked.start_unix_ns
    FROM (
        SELECT
            spans.*,
            bool_or(kind = 'llm' AND model IS NOT NULL) OVER (PARTITION BY trace_id) AS has_llm_span
        FROM spans
    ) AS marked
    WHERE marked.model IS NOT NULL AND (marked.kind = 'llm' OR (marked.kind = 'agent' AND NOT marked.has_llm_span))
),
first_calls AS (
    SELECT trace_id, model, min(start_unix_ns) AS first_unix_ns
    FROM calls
    GROUP BY trace_id, model
),
asked AS (
    SELECT trace_id, list(model ORDER BY first_unix_ns, model) AS models
    FROM first_calls
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
        max_by(status, (start_unix_ns, span_id)) FILTER (WHERE kind = 'llm') AS last_call_status,
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
        count(*) FILTER (WHERE kind = 'llm') AS llm_calls,
        count(*) FILTER (WHERE kind = 'llm' AND status = 'error') AS llm_errors,
        count(*) FILTER (WHERE kind = 'tool') AS tool_calls,
        count(*) FILTER (WHERE kind = 'tool' AND status = 'error') AS tool_errors,
        -- Explicit steps where the application numbers them, else each model and tool call is a step.
        CASE WHEN count(step) > 0 THEN count(DISTINCT step) ELSE count(*) FILTER (WHERE kind IN ('llm', 'tool')) END
            AS steps,
        CASE WHEN count(step) > 0 THEN 'attribute' ELSE 'derived' END AS step_source,
        coalesce(sum(retry_count) FILTER (WHERE kind = 'llm'), max(retry_count)) AS retries,
        bool_or(fallback_used) AS is_fallback,
        sum(dropped_attributes) AS dropped_attributes
    FROM spans
    GROUP BY trace_id
)
SELECT
    traces.* EXCLUDE (extent_ns, root_duration_ns, root_status, last_call_status),
    asked.models[1] AS model,
    asked.models,
    coalesce(traces.root_duration_ns, traces.extent_ns) AS duration_ns,
    (coalesce(traces.root_status, 'unset') = 'error' OR coalesce(traces.last_call_status, 'unset') = 'error') AS is_error,
    usage.input_tokens,
    usage.output_tokens,
    usage.cache_read_tokens,
    usage.cache_write_tokens,
    usage.reasoning_tokens,
    coalesce(usage.calls_with_tokens, 0) AS calls_with_tokens,
    usage.cost_nano_usd
FROM traces
INNER JOIN asked ON traces.trace_id = asked.trace_id
LEFT JOIN usage ON traces.trace_id = usage.trace_id
