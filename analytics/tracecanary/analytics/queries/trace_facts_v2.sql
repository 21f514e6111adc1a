-- One row per trace in which the application called a model; what evaluators call is apart (judge_usage).
--   model      the model asked for first (intention to treat); models: all asked for, in order, each once
--   context    cohort, route, ... of the root, else of the earliest span that has it
--   dimensions  those that the configuration declares, by name
--   tokens     leaf rule: a span counts only if none below it bears tokens, since many libraries repeat totals on parents.
--              is_usage_incomplete: such a parent states over one token more than the counted spans below it together
--   cost       of all counted spans, whoever answered (priced_spans_v1); null unless every one of them has one: unpriced is
--              not free. cost_source: mixed where they have different ones. unpriced_models: those without any price.
--              reported_cost and computed_cost are null unless every counted span has that one
--   duration   the root span's, else the extent of the spans; latency_source tells: root or extent
--   llm_duration_ns  sum over model calls; calls beside each other count each
--   time_to_first_token_ns  of the earliest call that states it, from its own start
--   retries, fallbacks  of the trace's calls (calls_v1); null, and 'none' as source, where nothing would show one.
--              llm_calls and llm_errors count each sibling attempt, none nested in another (attempts_v1: is_call)
--   steps      distinct steps that the application numbers, else those of its framework, else logical model calls
--              (a resend is no step) and tool calls; step_source tells
--   repeated_tool_calls  tool calls with the name and arguments of another one of the trace, but for the first; null where
--              no arguments are known
--   tool_versions  name@version of the tools and retrievers that state one, each once; a retriever without a name is 'retriever'
--   lost_spans  spans that others name as their parent and that are not there; where no root is, one of them may be elsewhere
--   is_error   the root failed, or the last logical model call did; error_class: of the earliest span that failed
-- grain: trace_id   params: none
-- reads: spans, priced_spans, landing_spans, intricate_traces, trace_calls, judge_usage, trace_dimensions
WITH RECURSIVE placed AS (
    SELECT
        spans.*,
        -- Sorts like (is no root, start, span id); one text is compared faster than three values.
        concat(
            CASE WHEN parent_span_id IS NULL THEN '0' ELSE '1' END, lpad(CAST(start_unix_ns AS VARCHAR), 20, '0'), span_id
        ) AS place
    FROM spans
),
-- In plain traces all spans that bear tokens count.
token_spans AS (
    SELECT spans.trace_id, spans.span_id, spans.parent_span_id, spans.input_tokens, spans.output_tokens
    FROM spans
    INNER JOIN intricate_traces ON spans.trace_id = intricate_traces.trace_id
    WHERE spans.input_tokens IS NOT NULL OR spans.output_tokens IS NOT NULL
),
spans_above_tokens (trace_id, span_id, below_id) AS (
    SELECT token_spans.trace_id, token_spans.parent_span_id, token_spans.span_id
    FROM token_spans
    WHERE token_spans.parent_span_id IS NOT NULL
    UNION
    SELECT spans.trace_id, spans.parent_span_id, spans_above_tokens.below_id
    FROM spans_above_tokens
    INNER JOIN spans
        ON spans_above_tokens.trace_id = spans.trace_id AND spans_above_tokens.span_id = spans.span_id
    WHERE spans.parent_span_id IS NOT NULL
),
counted AS (
    SELECT token_spans.*
    FROM token_spans
    LEFT JOIN (SELECT DISTINCT trace_id, span_id FROM spans_above_tokens) AS above
        ON token_spans.trace_id = above.trace_id AND token_spans.span_id = above.span_id
    WHERE above.span_id IS NULL
),
stated_totals AS (
    SELECT
        token_spans.trace_id,
        max(coalesce(token_spans.input_tokens, 0) + coalesce(token_spans.output_tokens, 0)) AS stated,
        sum(coalesce(counted.input_tokens, 0) + coalesce(counted.output_tokens, 0)) AS found
    FROM token_spans
    INNER JOIN spans_above_tokens AS above
        ON token_spans.trace_id = above.trace_id AND token_spans.span_id = above.span_id
    INNER JOIN counted ON above.trace_id = counted.trace_id AND above.below_id = counted.span_id
    GROUP BY token_spans.trace_id, token_spans.span_id
),
incomplete AS (
    SELECT DISTINCT trace_id
    FROM stated_totals
    WHERE stated > found + 1
),
-- Beside `traces`, since counting distinct values of every span would cost more than the rest.
stepped AS (
    SELECT
        trace_id,
        count(DISTINCT step) FILTER (WHERE step_source IS DISTINCT FROM 'framework') AS numbered_steps,
        count(DISTINCT step) FILTER (WHERE step_source = 'framework') AS framework_steps
    FROM spans
    WHERE step IS NOT NULL
    GROUP BY trace_id
),
spoken AS (
    SELECT trace_id, list(convention ORDER BY convention) AS conventions
    FROM (SELECT DISTINCT trace_id, convention FROM spans WHERE kind = 'llm' AND convention IS NOT NULL) AS named
    GROUP BY trace_id
),
repeated AS (
    SELECT trace_id, CAST(sum(calls - 1) AS BIGINT) AS repeated_tool_calls
    FROM (
        SELECT trace_id, tool_name, tool_arguments_hash, count(*) AS calls
        FROM spans
        WHERE kind = 'tool' AND tool_arguments_hash IS NOT NULL
        GROUP BY trace_id, tool_name, tool_arguments_hash
    ) AS tool_calls
    GROUP BY trace_id
),
equipped AS (
    SELECT trace_id, list(tool_version ORDER BY tool_version) AS tool_versions
    FROM (
        SELECT DISTINCT trace_id, concat(coalesce(tool_name, kind), '@', tool_version) AS tool_version
        FROM spans
        WHERE tool_version IS NOT NULL AND kind IN ('tool', 'retriever')
    ) AS versions
    GROUP BY trace_id
),
torn AS (
    SELECT below.trace_id, count(DISTINCT below.parent_span_id) AS missing_parents
    FROM landing_spans AS below
    LEFT JOIN landing_spans AS upper
        ON below.trace_id = upper.trace_id AND below.parent_span_id = upper.span_id
    WHERE below.parent_span_id IS NOT NULL AND upper.span_id IS NULL
    GROUP BY below.trace_id
),
traces AS (
    SELECT
        trace_id,
        bool_or(parent_span_id IS NULL) AS has_root,
        min(start_unix_ns) AS start_unix_ns,
        max(start_unix_ns + duration_ns) - min(start_unix_ns) AS extent_ns,
        min_by(duration_ns, place) FILTER (WHERE parent_span_id IS NULL) AS root_duration_ns,
        min_by(status, place) FILTER (WHERE parent_span_id IS NULL) AS root_status,
        min_by(cohort, place) FILTER (WHERE cohort IS NOT NULL) AS cohort,
        min_by(route, place) FILTER (WHERE route IS NOT NULL) AS route,
        min_by(release, place) FILTER (WHERE release IS NOT NULL) AS release,
        min_by(variant, place) FILTER (WHERE variant IS NOT NULL) AS variant,
        min_by(pair_id, place) FILTER (WHERE pair_id IS NOT NULL) AS pair_id,
        min_by(concat_ws('@', prompt_name, prompt_version), place)
            FILTER (WHERE prompt_name IS NOT NULL OR prompt_version IS NOT NULL) AS prompt,
        min_by(conversation_id, place) FILTER (WHERE conversation_id IS NOT NULL) AS conversation_id,
        min_by(user_id, place) FILTER (WHERE user_id IS NOT NULL) AS user_id,
        min_by(service_name, place) FILTER (WHERE service_name IS NOT NULL) AS service_name,
        min_by(environment, place) FILTER (WHERE environment IS NOT NULL) AS environment,
        min_by(scope_name, (start_unix_ns, span_id)) FILTER (WHERE kind = 'llm' AND scope_name IS NOT NULL)
            AS instrumentation,
        min_by(time_to_first_token_ns, (start_unix_ns, span_id)) FILTER (WHERE time_to_first_token_ns IS NOT NULL)
            AS time_to_first_token_ns,
        min_by(error_class, (start_unix_ns, span_id)) FILTER (WHERE status = 'error' AND error_class IS NOT NULL)
            AS error_class,
        count(*) FILTER (WHERE kind = 'tool') AS tool_calls,
        count(*) FILTER (WHERE kind = 'tool' AND status = 'error') AS tool_errors,
        count(*) FILTER (WHERE finish_reason = 'length') AS finished_by_length,
        count(*) FILTER (WHERE finish_reason = 'content_filter') AS finished_by_content_filter,
        count(*) FILTER (WHERE finish_reason = 'refusal') AS finished_by_refusal,
        max(retry_count) FILTER (
            WHERE coalesce(kind, 'other') IN ('chain', 'other', 'agent') AND retry_source IS DISTINCT FROM 'http_children'
        ) AS retries_stated,
        bool_or(coalesce(fallback_used, fallback_from IS NOT NULL OR NULL))
            FILTER (WHERE coalesce(kind, 'other') IN ('chain', 'other', 'agent')) AS is_fallback_stated,
        min_by(fallback_from, (start_unix_ns, span_id))
            FILTER (WHERE coalesce(kind, 'other') IN ('chain', 'other', 'agent') AND fallback_from IS NOT NULL)
            AS fallback_from_stated,
        CAST(sum(dropped_attributes) AS BIGINT) AS dropped_attributes,
        min(sampling_probability) AS sampling_probability
    FROM placed
    GROUP BY trace_id
),
billed AS (
    SELECT priced_spans.*
    FROM priced_spans
    LEFT JOIN intricate_traces ON priced_spans.trace_id = intricate_traces.trace_id
    WHERE priced_spans.bears_tokens AND intricate_traces.trace_id IS NULL
    UNION ALL
    SELECT priced_spans.*
    FROM priced_spans
    INNER JOIN counted ON priced_spans.trace_id = counted.trace_id AND priced_spans.span_id = counted.span_id
),
usage AS (
    SELECT
        trace_id,
        CAST(sum(input_tokens) AS BIGINT) AS input_tokens,
        CAST(sum(output_tokens) AS BIGINT) AS output_tokens,
        CAST(sum(cache_read_tokens) AS BIGINT) AS cache_read_tokens,
        CAST(sum(cache_write_tokens) AS BIGINT) AS cache_write_tokens,
        CAST(sum(reasoning_tokens) AS BIGINT) AS reasoning_tokens,
        count(*) AS calls_with_tokens,
        CASE WHEN count(reported_cost_nano_usd) = count(*) THEN CAST(sum(reported_cost_nano_usd) AS BIGINT) END
            AS reported_cost_nano_usd,
        CASE WHEN count(computed_cost_nano_usd) = count(*) THEN CAST(sum(computed_cost_nano_usd) AS BIGINT) END
            AS computed_cost_nano_usd,
        CASE WHEN count(cost_nano_usd) = count(*) THEN CAST(sum(cost_nano_usd) AS BIGINT) END AS cost_nano_usd,
        CASE
            WHEN count(cost_nano_usd) < count(*) THEN NULL
            WHEN min(cost_source) = max(cost_source) THEN min(cost_source)
            ELSE 'mixed'
        END AS cost_source
    FROM billed
    GROUP BY trace_id
),
unpriced AS (
    SELECT trace_id, list(unpriced_model ORDER BY unpriced_model) AS unpriced_models
    FROM (SELECT DISTINCT trace_id, unpriced_model FROM billed WHERE unpriced_model IS NOT NULL) AS named
    GROUP BY trace_id
)
SELECT
    traces.trace_id,
    traces.start_unix_ns,
    trace_calls.models[1] AS model,
    trace_calls.models,
    traces.cohort,
    traces.route,
    traces.release,
    traces.variant,
    traces.pair_id,
    traces.prompt,
    traces.conversation_id,
    traces.user_id,
    traces.service_name,
    traces.environment,
    spoken.conventions,
    traces.instrumentation,
    traces.has_root,
    coalesce(traces.root_duration_ns, traces.extent_ns) AS duration_ns,
    CASE WHEN traces.root_duration_ns IS NULL THEN 'extent' ELSE 'root' END AS latency_source,
    trace_calls.llm_duration_ns,
    traces.time_to_first_token_ns,
    (coalesce(traces.root_status, 'unset') = 'error' OR coalesce(trace_calls.has_last_call_failed, FALSE)) AS is_error,
    traces.error_class,
    trace_calls.llm_calls,
    trace_calls.llm_errors,
    traces.tool_calls,
    traces.tool_errors,
    repeated.repeated_tool_calls,
    traces.finished_by_length,
    traces.finished_by_content_filter,
    traces.finished_by_refusal,
    CASE
        WHEN stepped.numbered_steps > 0 THEN stepped.numbered_steps
        WHEN stepped.framework_steps > 0 THEN stepped.framework_steps
        ELSE trace_calls.logical_calls + traces.tool_calls
    END AS steps,
    CASE
        WHEN stepped.numbered_steps > 0 THEN 'attribute'
        WHEN stepped.framework_steps > 0 THEN 'framework'
        ELSE 'derived'
    END AS step_source,
    -- What a span states that stands above no call, such as one beside it, speaks of the trace.
    CASE WHEN trace_calls.retry_source = 'attribute' THEN trace_calls.retries
        ELSE coalesce(traces.retries_stated, trace_calls.retries) END AS retries,
    CASE WHEN traces.retries_stated IS NOT NULL THEN 'attribute' ELSE trace_calls.retry_source END AS retry_source,
    CASE WHEN trace_calls.fallback_source = 'attribute' THEN trace_calls.is_fallback
        ELSE coalesce(traces.is_fallback_stated, trace_calls.is_fallback) END AS is_fallback,
    CASE WHEN traces.is_fallback_stated IS NOT NULL THEN 'attribute' ELSE trace_calls.fallback_source END
        AS fallback_source,
    coalesce(trace_calls.fallback_from, traces.fallback_from_stated) AS fallback_from,
    trace_calls.fallback_to,
    usage.input_tokens,
    usage.output_tokens,
    usage.cache_read_tokens,
    usage.cache_write_tokens,
    usage.reasoning_tokens,
    coalesce(usage.calls_with_tokens, 0) AS calls_with_tokens,
    usage.reported_cost_nano_usd,
    usage.computed_cost_nano_usd,
    usage.cost_nano_usd,
    usage.cost_source,
    unpriced.unpriced_models,
    incomplete.trace_id IS NOT NULL AS is_usage_incomplete,
    coalesce(judge_usage.judge_calls, 0) AS judge_calls,
    CAST(judge_usage.judge_input_tokens AS BIGINT) AS judge_input_tokens,
    CAST(judge_usage.judge_output_tokens AS BIGINT) AS judge_output_tokens,
    CAST(judge_usage.judge_cost_nano_usd AS BIGINT) AS judge_cost_nano_usd,
    trace_dimensions.dimensions,
    traces.dropped_attributes,
    coalesce(torn.missing_parents, 0) - CASE WHEN traces.has_root OR torn.missing_parents IS NULL THEN 0 ELSE 1 END
        AS lost_spans,
    traces.sampling_probability,
    equipped.tool_versions
FROM traces
INNER JOIN trace_calls ON traces.trace_id = trace_calls.trace_id
LEFT JOIN stepped ON traces.trace_id = stepped.trace_id
LEFT JOIN spoken ON traces.trace_id = spoken.trace_id
LEFT JOIN repeated ON traces.trace_id = repeated.trace_id
LEFT JOIN equipped ON traces.trace_id = equipped.trace_id
LEFT JOIN torn ON traces.trace_id = torn.trace_id
LEFT JOIN usage ON traces.trace_id = usage.trace_id
LEFT JOIN unpriced ON traces.trace_id = unpriced.trace_id
LEFT JOIN incomplete ON traces.trace_id = incomplete.trace_id
LEFT JOIN judge_usage ON traces.trace_id = judge_usage.trace_id
LEFT JOIN trace_dimensions ON traces.trace_id = trace_dimensions.trace_id
