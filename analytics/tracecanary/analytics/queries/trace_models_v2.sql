-- What each trace did with each model that it asked, left or was answered by; <value>_known counts where it is known.
-- costs_compared: calls with a reported and a computed cost; both are added up over these alone.
-- traces: 1 where the model was asked, 0 where it was only stated.
-- is_judge: what evaluators asked of it, apart from the application.
-- grain: trace_id, model, is_judge   params: $revision BIGINT
-- reads: calls_of_models, ordinary_trace_models, old_trace_models, rederived_traces
SELECT
    model,
    trace_id,
    coalesce(is_judge, FALSE) AS is_judge,
    CAST($revision AS BIGINT) AS revision,
    max(CASE WHEN is_asked THEN 1 ELSE 0 END) AS traces,
    count(*) FILTER (WHERE is_call) AS llm_calls,
    count(*) FILTER (WHERE is_failed_call) AS llm_errors,
    count(input_tokens) AS input_tokens_known,
    CAST(coalesce(sum(input_tokens), 0) AS BIGINT) AS input_tokens,
    count(output_tokens) AS output_tokens_known,
    CAST(coalesce(sum(output_tokens), 0) AS BIGINT) AS output_tokens,
    count(cache_read_tokens) AS cache_read_tokens_known,
    CAST(coalesce(sum(cache_read_tokens), 0) AS BIGINT) AS cache_read_tokens,
    count(cache_write_tokens) AS cache_write_tokens_known,
    CAST(coalesce(sum(cache_write_tokens), 0) AS BIGINT) AS cache_write_tokens,
    count(reasoning_tokens) AS reasoning_tokens_known,
    CAST(coalesce(sum(reasoning_tokens), 0) AS BIGINT) AS reasoning_tokens,
    count(coalesce(input_tokens, output_tokens)) AS calls_with_tokens,
    count(retries) AS retries_known,
    CAST(coalesce(sum(retries), 0) AS BIGINT) AS retries,
    count(*) FILTER (WHERE is_left) AS fallbacks_from,
    count(is_fallen_back_to) AS fallbacks_to_known,
    count(*) FILTER (WHERE is_fallen_back_to) AS fallbacks_to,
    count(cost_nano_usd) AS costs_known,
    CAST(least(coalesce(sum(cost_nano_usd), 0), 9000000000000000000) AS BIGINT) AS cost_nano_usd,
    count(*) FILTER (WHERE reported_cost_nano_usd IS NOT NULL AND computed_cost_nano_usd IS NOT NULL) AS costs_compared,
    CAST(coalesce(sum(reported_cost_nano_usd) FILTER (WHERE computed_cost_nano_usd IS NOT NULL), 0) AS BIGINT)
        AS compared_reported_nano_usd,
    CAST(coalesce(sum(computed_cost_nano_usd) FILTER (WHERE reported_cost_nano_usd IS NOT NULL), 0) AS BIGINT)
        AS compared_computed_nano_usd,
    list_sort(list_distinct(list(convention) FILTER (WHERE convention IS NOT NULL))) AS conventions,
    min(start_unix_ns) AS first_start_unix_ns,
    max(start_unix_ns) AS last_start_unix_ns
FROM calls_of_models
GROUP BY trace_id, model, coalesce(is_judge, FALSE)
UNION ALL BY NAME
SELECT CAST($revision AS BIGINT) AS revision, ordinary_trace_models.*
FROM ordinary_trace_models
UNION ALL BY NAME -- only judged again: what is known of the spans stays
SELECT CAST($revision AS BIGINT) AS revision, old_trace_models.* EXCLUDE (revision)
FROM old_trace_models
LEFT JOIN rederived_traces ON old_trace_models.trace_id = rederived_traces.trace_id
WHERE rederived_traces.trace_id IS NULL
ORDER BY first_start_unix_ns, trace_id, model, is_judge
