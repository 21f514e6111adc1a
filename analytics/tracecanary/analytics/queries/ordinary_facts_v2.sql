-- The facts of traces that need no closer look: the columns of trace_facts_v3, from trace_outlines_v3, and those of when
-- their spans start.
-- grain: trace_id   params: none
-- reads: trace_outlines, close_traces, contexts, call_contexts, trace_details, trace_dimensions
SELECT
    outlines.trace_id,
    outlines.first_start_unix_ns,
    outlines.last_start_unix_ns,
    outlines.first_start_unix_ns AS start_unix_ns,
    outlines.first_model AS model,
    [outlines.first_model] AS models,
    contexts.cohort,
    contexts.route,
    contexts.release,
    contexts.variant,
    outlines.pair_id,
    CASE WHEN contexts.prompt_name IS NOT NULL OR contexts.prompt_version IS NOT NULL
        THEN concat_ws('@', contexts.prompt_name, contexts.prompt_version) END AS prompt,
    outlines.conversation_id,
    outlines.user_id,
    contexts.service_name,
    contexts.environment,
    CASE WHEN call_contexts.convention IS NOT NULL THEN [call_contexts.convention] END AS conventions,
    call_contexts.scope_name AS instrumentation,
    outlines.roots > 0 AS has_root,
    coalesce(outlines.root_duration_ns, outlines.end_unix_ns - outlines.first_start_unix_ns) AS duration_ns,
    CASE WHEN outlines.roots = 0 THEN 'extent' ELSE 'root' END AS latency_source,
    CAST(least(outlines.llm_duration_ns, 9000000000000000000) AS BIGINT) AS llm_duration_ns,
    trace_details.time_to_first_token_ns,
    outlines.has_root_failed AS is_error,
    trace_details.error_class,
    outlines.llm_calls,
    CAST(0 AS BIGINT) AS llm_errors,
    outlines.tool_calls,
    outlines.tool_errors,
    CASE WHEN outlines.tool_calls_with_arguments > 0 THEN coalesce(trace_details.repeated_tool_calls, 0) END
        AS repeated_tool_calls,
    outlines.finished_by_length,
    outlines.finished_by_content_filter,
    outlines.finished_by_refusal,
    CASE
        WHEN trace_details.numbered_steps > 0 THEN trace_details.numbered_steps
        WHEN trace_details.framework_steps > 0 THEN trace_details.framework_steps
        ELSE outlines.llm_calls + outlines.tool_calls
    END AS steps,
    CASE
        WHEN trace_details.numbered_steps > 0 THEN 'attribute'
        WHEN trace_details.framework_steps > 0 THEN 'framework'
        ELSE 'derived'
    END AS step_source,
    CASE WHEN outlines.retries_denied > 0 THEN CAST(0 AS BIGINT) END AS retries,
    CASE WHEN outlines.retries_denied > 0 THEN 'attribute' ELSE 'none' END AS retry_source,
    CASE WHEN outlines.fallbacks_denied > 0 THEN FALSE END AS is_fallback,
    CASE WHEN outlines.fallbacks_denied > 0 THEN 'attribute' ELSE 'none' END AS fallback_source,
    CAST(NULL AS VARCHAR) AS fallback_from,
    CAST(NULL AS VARCHAR) AS fallback_to,
    CAST(CASE WHEN outlines.input_tokens > 10000000000 THEN 10000000000 ELSE outlines.input_tokens END AS BIGINT)
        AS input_tokens,
    CAST(CASE WHEN outlines.output_tokens > 10000000000 THEN 10000000000 ELSE outlines.output_tokens END AS BIGINT)
        AS output_tokens,
    CAST(CASE WHEN outlines.cache_read_tokens > 10000000000 THEN 10000000000 ELSE outlines.cache_read_tokens END AS BIGINT)
        AS cache_read_tokens,
    CAST(CASE WHEN outlines.cache_write_tokens > 10000000000 THEN 10000000000 ELSE outlines.cache_write_tokens END AS BIGINT)
        AS cache_write_tokens,
    CAST(CASE WHEN outlines.reasoning_tokens > 10000000000 THEN 10000000000 ELSE outlines.reasoning_tokens END AS BIGINT)
        AS reasoning_tokens,
    outlines.calls_with_tokens,
    CASE WHEN outlines.calls_with_tokens > 0 AND outlines.reported_costs_known = outlines.calls_with_tokens
        THEN CAST(least(outlines.reported_cost_nano_usd, 10000000000000) AS BIGINT) END AS reported_cost_nano_usd,
    CASE WHEN outlines.calls_with_tokens > 0 AND outlines.computed_costs_known = outlines.calls_with_tokens
        THEN CAST(least(outlines.computed_cost_nano_usd, 10000000000000) AS BIGINT) END AS computed_cost_nano_usd,
    CASE WHEN outlines.calls_with_tokens > 0 AND outlines.costs_known = outlines.calls_with_tokens
        THEN CAST(least(outlines.cost_nano_usd, 10000000000000) AS BIGINT) END AS cost_nano_usd,
    CASE
        WHEN outlines.calls_with_tokens = 0 OR outlines.costs_known < outlines.calls_with_tokens THEN NULL
        WHEN outlines.first_cost_source = outlines.last_cost_source THEN outlines.first_cost_source
        ELSE 'mixed'
    END AS cost_source,
    CASE WHEN outlines.first_unpriced_model IS NOT NULL THEN [outlines.first_unpriced_model] END AS unpriced_models,
    FALSE AS is_usage_incomplete,
    0 AS judge_calls,
    CAST(NULL AS BIGINT) AS judge_input_tokens,
    CAST(NULL AS BIGINT) AS judge_output_tokens,
    CAST(NULL AS BIGINT) AS judge_cost_nano_usd,
    trace_dimensions.dimensions,
    outlines.dropped_attributes,
    coalesce(trace_details.missing_parents, 0)
    - CASE WHEN outlines.roots > 0 OR trace_details.missing_parents IS NULL THEN 0 ELSE 1 END AS lost_spans,
    outlines.sampling_probability,
    trace_details.tool_versions
FROM trace_outlines AS outlines
LEFT JOIN close_traces ON outlines.trace_id = close_traces.trace_id
LEFT JOIN contexts ON outlines.context_key = contexts.context_key
LEFT JOIN call_contexts ON outlines.call_key = call_contexts.call_key
LEFT JOIN trace_details ON outlines.trace_id = trace_details.trace_id
LEFT JOIN trace_dimensions ON outlines.trace_id = trace_dimensions.trace_id
WHERE close_traces.trace_id IS NULL AND outlines.llm_calls > 0
