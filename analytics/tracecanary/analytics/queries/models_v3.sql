-- One row per canonical model that was asked for, by model calls or, in traces without any, by the agent span (the
-- same rule as trace_facts); llm_calls counts model calls only. Every attempt that is a span beside the others is a
-- call; one nested in another is not, unless it asked another model that was then left (attempts_v2: is_call). A call
-- of an embedding model is a call, too (embedding_calls_v1). What evaluators call is
-- not here, but for models that they alone asked.
--   retries         resends to this model, those that are stated counting for the model asked first; null where none
--                   could be seen
--   fallbacks_from  logical calls that left this model; fallbacks_to: that ended with it
-- Tokens are null where the source has none; calls_with_tokens tells how many model calls they come from. traces counts
-- every trace that asked for the model, first or later. first_seen and last_seen: to the day where facts have expired.
-- grain: model   params: none   reads: stored_rollup_models, live_trace_models, expiry
WITH listed AS (
    SELECT model, bool_and(is_judge) AS is_judge
    FROM (
        SELECT model, is_judge
        FROM stored_rollup_models
        GROUP BY model, is_judge
        HAVING sum(all_traces) > 0
    ) AS asked
    GROUP BY model
)
SELECT
    totals.*,
    seen.first_seen_unix_ns,
    seen.last_seen_unix_ns
FROM (
    SELECT
        stored_rollup_models.model,
        CAST(sum(all_traces) AS BIGINT) AS traces,
        CAST(sum(all_llm_calls) AS BIGINT) AS llm_calls,
        CAST(sum(all_llm_errors) AS BIGINT) AS llm_errors,
        CASE WHEN sum(all_input_tokens_known) > 0 THEN CAST(sum(all_input_tokens) AS BIGINT) END AS input_tokens,
        CASE WHEN sum(all_output_tokens_known) > 0 THEN CAST(sum(all_output_tokens) AS BIGINT) END AS output_tokens,
        CASE WHEN sum(all_cache_read_tokens_known) > 0 THEN CAST(sum(all_cache_read_tokens) AS BIGINT) END AS cache_read_tokens,
        CASE WHEN sum(all_cache_write_tokens_known) > 0 THEN CAST(sum(all_cache_write_tokens) AS BIGINT) END AS cache_write_tokens,
        CASE WHEN sum(all_reasoning_tokens_known) > 0 THEN CAST(sum(all_reasoning_tokens) AS BIGINT) END AS reasoning_tokens,
        CAST(sum(all_calls_with_tokens) AS BIGINT) AS calls_with_tokens,
        CASE WHEN sum(all_retries_known) > 0 THEN CAST(sum(all_retries) AS BIGINT) END AS retries,
        CASE WHEN sum(all_fallbacks_from) > 0 THEN CAST(sum(all_fallbacks_from) AS BIGINT) END AS fallbacks_from,
        CASE WHEN sum(all_fallbacks_to_known) > 0 THEN CAST(sum(all_fallbacks_to) AS BIGINT) END AS fallbacks_to,
        CASE WHEN sum(all_costs_known) > 0 THEN CAST(sum(all_cost_nano_usd) AS DOUBLE) / 1e9 END AS cost_usd,
        sum(all_costs_known) = sum(all_calls_with_tokens) AND sum(all_costs_known) > 0 AS priced,
        list_sort(list_distinct(flatten(list(conventions) FILTER (WHERE conventions IS NOT NULL)))) AS conventions
    FROM stored_rollup_models
    INNER JOIN listed ON stored_rollup_models.model = listed.model AND stored_rollup_models.is_judge = listed.is_judge
    GROUP BY stored_rollup_models.model
) AS totals
INNER JOIN (
    SELECT
        days.model,
        CASE
            WHEN live.first_start_unix_ns IS NULL OR days.first_day_unix_ns < expiry.facts_from_ns
                THEN days.first_day_unix_ns
            ELSE live.first_start_unix_ns
        END AS first_seen_unix_ns,
        coalesce(live.last_start_unix_ns, days.last_day_unix_ns) AS last_seen_unix_ns
    FROM (
        SELECT model, min(day_unix_ns) AS first_day_unix_ns, max(day_unix_ns) AS last_day_unix_ns
        FROM (
            SELECT stored_rollup_models.model, stored_rollup_models.day_unix_ns
            FROM stored_rollup_models
            INNER JOIN listed
                ON stored_rollup_models.model = listed.model AND stored_rollup_models.is_judge = listed.is_judge
            GROUP BY stored_rollup_models.model, stored_rollup_models.day_unix_ns
            HAVING sum(all_traces) > 0
        ) AS asked
        GROUP BY model
    ) AS days
    CROSS JOIN expiry
    LEFT JOIN (
        SELECT
            live_trace_models.model,
            min(live_trace_models.first_start_unix_ns) AS first_start_unix_ns,
            max(live_trace_models.last_start_unix_ns) AS last_start_unix_ns
        FROM live_trace_models
        INNER JOIN listed ON live_trace_models.model = listed.model AND live_trace_models.is_judge = listed.is_judge
        WHERE live_trace_models.traces > 0
        GROUP BY live_trace_models.model
    ) AS live ON days.model = live.model
) AS seen ON totals.model = seen.model
ORDER BY totals.model
