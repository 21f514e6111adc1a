-- One row per trace, of those looked at closely, in which the application called a model; what evaluators call is apart
-- (judge_usage).
--   model      the model asked for first (intention to treat); models: all asked for, in order, each once
--   context    cohort, route, ... of the root, else of the earliest span that has it
--   dimensions  those that the configuration declares, by name
--   tokens     leaf rule: a span counts only if none below it bears tokens, since many libraries repeat totals on parents.
--              is_usage_incomplete: such a parent states over one token more than the counted spans below it together
--   cost       of all counted spans, whoever answered (priced_spans_v2); null unless every one of them has one: unpriced is
--              not free. cost_source: mixed where they have different ones. unpriced_models: those without any price.
--              reported_cost and computed_cost are null unless every counted span has that one
--   Sums of tokens end at 10^10 and of costs at 10,000 USD: more is a mistake, and its cube would not fit a sum of cubes.
--   duration   the root span's, else the extent of the spans; latency_source tells: root or extent
--   llm_duration_ns  sum over model calls; calls beside each other count each
--   retries, fallbacks  of the trace's calls (calls_v1); null, and 'none' as source, where nothing would show one.
--              llm_calls and llm_errors count each sibling attempt, none nested in another (attempts_v2: is_call)
--   steps      distinct steps that the application numbers, else those of its framework, else logical model calls
--              (a resend is no step) and tool calls; step_source tells
--   repeated_tool_calls  null where no arguments are known; see trace_details_v1, as for tool_versions
--   lost_spans  spans that others name as their parent and that are not there; where no root is, one of them may be elsewhere
--   is_error   the root failed, or the last logical model call did; error_class: of the earliest span that failed
-- grain: trace_id   params: none
-- reads: spans, priced_spans, intricate_spans, intricate_traces, trace_contexts, trace_details, trace_calls, judge_usage,
-- trace_dimensions
WITH RECURSIVE
-- In plain traces all spans that bear tokens count.
token_spans AS (
    SELECT spans.trace_id, spans.span_id, spans.parent_span_id, spans.input_tokens, spans.output_tokens
    FROM intricate_spans AS spans
    WHERE spans.input_tokens IS NOT NULL OR spans.output_tokens IS NOT NULL
),
spans_below_tokens (trace_id, span_id, below_id) AS (
    SELECT token_spans.trace_id, token_spans.span_id, spans.span_id
    FROM token_spans
    INNER JOIN intricate_spans AS spans
        ON token_spans.trace_id = spans.trace_id AND token_spans.span_id = spans.parent_span_id
    UNION
    SELECT spans_below_tokens.trace_id, spans_below_tokens.span_id, spans.span_id
    FROM spans_below_tokens
    INNER JOIN intricate_spans AS spans
        ON spans_below_tokens.trace_id = spans.trace_id AND spans_below_tokens.below_id = spans.parent_span_id
),
tokens_below_tokens AS (
    SELECT spans_below_tokens.*
    FROM spans_below_tokens
    INNER JOIN token_spans
        ON spans_below_tokens.trace_id = token_spans.trace_id AND spans_below_tokens.below_id = token_spans.span_id
),
counted AS (
    SELECT token_spans.*
    FROM token_spans
    LEFT JOIN (SELECT DISTINCT trace_id, span_id FROM tokens_below_tokens) AS above
        ON token_spans.trace_id = above.trace_id AND token_spans.span_id = above.span_id
    WHERE above.span_id IS NULL
),
stated_totals AS (
    SELECT
        token_spans.trace_id,
        max(coalesce(token_spans.input_tokens, 0) + coalesce(token_spans.output_tokens, 0)) AS stated,
        sum(coalesce(counted.input_tokens, 0) + coalesce(counted.output_tokens, 0)) AS found
    FROM token_spans
    INNER JOIN tokens_below_tokens AS above
        ON token_spans.trace_id = above.trace_id AND token_spans.span_id = above.span_id
    INNER JOIN counted ON above.trace_id = counted.trace_id AND above.below_id = counted.span_id
    GROUP BY token_spans.trace_id, token_spans.span_id
),
incomplete AS (
    SELECT DISTINCT trace_id
    FROM stated_totals
    WHERE stated > found + 1
),
tools AS (
    SELECT DISTINCT trace_id
    FROM spans
    WHERE kind = 'tool' AND tool_arguments_hash IS NOT NULL
),
stated AS (
    SELECT
        trace_id,
        max(retry_count) FILTER (WHERE retry_source IS DISTINCT FROM 'http_children') AS retries,
        bool_or(coalesce(fallback_used, fallback_from IS NOT NULL OR NULL)) AS is_fallback,
        min_by(fallback_from, (start_unix_ns, span_id)) FILTER (WHERE fallback_from IS NOT NULL) AS fallback_from
    FROM intricate_spans
    WHERE
        coalesce(kind, 'other') IN ('chain', 'other', 'agent')
        AND (retry_count IS NOT NULL OR fallback_used IS NOT NULL OR fallback_from IS NOT NULL)
    GROUP BY trace_id
),
traces AS (
    SELECT
        trace_id,
        count(*) - count(parent_span_id) AS roots,
        max(CASE WHEN parent_span_id IS NULL THEN duration_ns END) AS root_duration_ns,
        coalesce(max(CASE WHEN parent_span_id IS NULL AND status = 'error' THEN 1 END), 0) = 1 AS has_root_failed,
        min(start_unix_ns) AS start_unix_ns,
        max(start_unix_ns + duration_ns) - min(start_unix_ns) AS extent_ns,
        count(*) FILTER (WHERE kind = 'tool') AS tool_calls,
        count(*) FILTER (WHERE kind = 'tool' AND status = 'error') AS tool_errors,
        count(*) FILTER (WHERE finish_reason = 'length') AS finished_by_length,
        count(*) FILTER (WHERE finish_reason = 'content_filter') AS finished_by_content_filter,
        count(*) FILTER (WHERE finish_reason = 'refusal') AS finished_by_refusal,
        CAST(sum(dropped_attributes) AS BIGINT) AS dropped_attributes,
        min(sampling_probability) AS sampling_probability
    FROM spans
    GROUP BY trace_id
),
-- The earliest of several roots.
first_roots AS (
    SELECT
        spans.trace_id,
        min_by(spans.duration_ns, (spans.start_unix_ns, spans.span_id)) AS duration_ns,
        min_by(spans.status, (spans.start_unix_ns, spans.span_id)) = 'error' AS has_failed
    FROM spans
    INNER JOIN traces ON spans.trace_id = traces.trace_id
    WHERE spans.parent_span_id IS NULL AND traces.roots > 1
    GROUP BY spans.trace_id
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
        CAST(CASE WHEN sum(input_tokens) > 10000000000 THEN 10000000000 ELSE sum(input_tokens) END AS BIGINT)
            AS input_tokens,
        CAST(CASE WHEN sum(output_tokens) > 10000000000 THEN 10000000000 ELSE sum(output_tokens) END AS BIGINT)
            AS output_tokens,
        CAST(CASE WHEN sum(cache_read_tokens) > 10000000000 THEN 10000000000 ELSE sum(cache_read_tokens) END AS BIGINT)
            AS cache_read_tokens,
        CAST(CASE WHEN sum(cache_write_tokens) > 10000000000 THEN 10000000000 ELSE sum(cache_write_tokens) END AS BIGINT)
            AS cache_write_tokens,
        CAST(CASE WHEN sum(reasoning_tokens) > 10000000000 THEN 10000000000 ELSE sum(reasoning_tokens) END AS BIGINT)
            AS reasoning_tokens,
        count(*) AS calls_with_tokens,
        CASE WHEN count(reported_cost_nano_usd) = count(*)
            THEN CAST(least(sum(reported_cost_nano_usd), 10000000000000) AS BIGINT) END
            AS reported_cost_nano_usd,
        CASE WHEN count(computed_cost_nano_usd) = count(*)
            THEN CAST(least(sum(computed_cost_nano_usd), 10000000000000) AS BIGINT) END
            AS computed_cost_nano_usd,
        CASE WHEN count(cost_nano_usd) = count(*) THEN CAST(least(sum(cost_nano_usd), 10000000000000) AS BIGINT) END
            AS cost_nano_usd,
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
    trace_contexts.cohort,
    trace_contexts.route,
    trace_contexts.release,
    trace_contexts.variant,
    trace_contexts.pair_id,
    trace_contexts.prompt,
    trace_contexts.conversation_id,
    trace_contexts.user_id,
    trace_contexts.service_name,
    trace_contexts.environment,
    trace_contexts.conventions,
    trace_contexts.instrumentation,
    traces.roots > 0 AS has_root,
    coalesce(first_roots.duration_ns, traces.root_duration_ns, traces.extent_ns) AS duration_ns,
    CASE WHEN traces.roots = 0 THEN 'extent' ELSE 'root' END AS latency_source,
    trace_calls.llm_duration_ns,
    trace_details.time_to_first_token_ns,
    (coalesce(first_roots.has_failed, traces.has_root_failed) OR coalesce(trace_calls.has_last_call_failed, FALSE))
        AS is_error,
    trace_details.error_class,
    trace_calls.llm_calls,
    trace_calls.llm_errors,
    traces.tool_calls,
    traces.tool_errors,
    CASE WHEN tools.trace_id IS NOT NULL THEN coalesce(trace_details.repeated_tool_calls, 0) END AS repeated_tool_calls,
    traces.finished_by_length,
    traces.finished_by_content_filter,
    traces.finished_by_refusal,
    CASE
        WHEN trace_details.numbered_steps > 0 THEN trace_details.numbered_steps
        WHEN trace_details.framework_steps > 0 THEN trace_details.framework_steps
        ELSE trace_calls.logical_calls + traces.tool_calls
    END AS steps,
    CASE
        WHEN trace_details.numbered_steps > 0 THEN 'attribute'
        WHEN trace_details.framework_steps > 0 THEN 'framework'
        ELSE 'derived'
    END AS step_source,
    -- What a span states that stands above no call, such as one beside it, speaks of the trace.
    CASE WHEN trace_calls.retry_source = 'attribute' THEN trace_calls.retries
        ELSE coalesce(stated.retries, trace_calls.retries) END AS retries,
    CASE WHEN stated.retries IS NOT NULL THEN 'attribute' ELSE trace_calls.retry_source END AS retry_source,
    CASE WHEN trace_calls.fallback_source = 'attribute' THEN trace_calls.is_fallback
        ELSE coalesce(stated.is_fallback, trace_calls.is_fallback) END AS is_fallback,
    CASE WHEN stated.is_fallback IS NOT NULL THEN 'attribute' ELSE trace_calls.fallback_source END
        AS fallback_source,
    coalesce(trace_calls.fallback_from, stated.fallback_from) AS fallback_from,
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
    CASE WHEN judge_usage.judge_input_tokens > 10000000000 THEN 10000000000 ELSE CAST(judge_usage.judge_input_tokens AS BIGINT) END
        AS judge_input_tokens,
    CASE WHEN judge_usage.judge_output_tokens > 10000000000 THEN 10000000000 ELSE CAST(judge_usage.judge_output_tokens AS BIGINT) END
        AS judge_output_tokens,
    CASE WHEN judge_usage.judge_cost_nano_usd > 10000000000000 THEN 10000000000000 ELSE CAST(judge_usage.judge_cost_nano_usd AS BIGINT) END
        AS judge_cost_nano_usd,
    trace_dimensions.dimensions,
    traces.dropped_attributes,
    coalesce(trace_details.missing_parents, 0)
    - CASE WHEN traces.roots > 0 OR trace_details.missing_parents IS NULL THEN 0 ELSE 1 END AS lost_spans,
    traces.sampling_probability,
    trace_details.tool_versions
FROM traces
INNER JOIN trace_calls ON traces.trace_id = trace_calls.trace_id
LEFT JOIN trace_contexts ON traces.trace_id = trace_contexts.trace_id
LEFT JOIN first_roots ON traces.trace_id = first_roots.trace_id
LEFT JOIN trace_details ON traces.trace_id = trace_details.trace_id
LEFT JOIN stated ON traces.trace_id = stated.trace_id
LEFT JOIN tools ON traces.trace_id = tools.trace_id
LEFT JOIN usage ON traces.trace_id = usage.trace_id
LEFT JOIN unpriced ON traces.trace_id = unpriced.trace_id
LEFT JOIN incomplete ON traces.trace_id = incomplete.trace_id
LEFT JOIN judge_usage ON traces.trace_id = judge_usage.trace_id
LEFT JOIN trace_dimensions ON traces.trace_id = trace_dimensions.trace_id
