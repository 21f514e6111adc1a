-- What one pass over the spans tells of each trace: of most all there is to know, since they need no closer look
-- (close_traces_v1). Of these, what the columns say is true of the spans that count; of others, of all that came.
--   ids, bearing, parents  sets of span ids (all; of spans that ask a model or bear tokens; of parents), each a bit of 62
--              that a digest chooses, and again by another digest. Where a set has as many bits as there are spans, none
--              was delivered twice; where two sets don't meet, they have no span in common
--   is_telling, is_asked_by_agents, is_told_by_several  see intricate_traces_v1
--   may_be_torn  not all parents are known to be there: that is known where the one parent of all others is the root
--   is_odd     tokens or costs stand on other spans than LLM spans, or where no tokens are; or an LLM span names no model
--   retries_denied, fallbacks_denied  LLM spans that state that there was none, in a trace that needs no closer look
--   different_tool_calls  at most so many by name and arguments, of the tool_calls_with_arguments
--   context_key, call_key  see contexts_v1, call_contexts_v1
--   <value>_known counts the spans that have the value
-- grain: trace_id   params: none   reads: rated_spans (of landing_spans)
SELECT
    trace_id,
    count(*) AS spans,
    min(start_unix_ns) AS first_start_unix_ns,
    max(start_unix_ns) AS last_start_unix_ns,
    max(start_unix_ns + duration_ns) AS end_unix_ns,
    min(parent_span_id) IS NOT NULL
    AND (
        min(parent_span_id) != max(parent_span_id)
        OR max(CASE WHEN parent_span_id IS NULL THEN span_id END) IS DISTINCT FROM min(parent_span_id)
    ) AS may_be_torn,
    bit_or(id_bit) AS ids,
    bit_or(other_id_bit) AS other_ids,
    bit_or(CASE WHEN bears THEN id_bit END) AS bearing,
    bit_or(CASE WHEN bears THEN other_id_bit END) AS other_bearing,
    bit_or(parent_bit) AS parents,
    bit_or(other_parent_bit) AS other_parents,
    max(is_telling_span) = 1 AS is_telling,
    max(is_odd_span) = 1 AS is_odd,
    max(CASE WHEN kind = 'agent' THEN asked_model END) IS NOT NULL AND max(called_model) IS NULL AS is_asked_by_agents,
    coalesce(min(scope_digest) != max(scope_digest), FALSE) AS is_told_by_several,
    count(*) - count(parent_span_id) AS roots,
    max(CASE WHEN parent_span_id IS NULL THEN duration_ns END) AS root_duration_ns,
    coalesce(max(CASE WHEN parent_span_id IS NULL AND status = 'error' THEN 1 END), 0) = 1 AS has_root_failed,
    min(called_model) AS first_model,
    max(called_model) AS last_model,
    count(call_start_unix_ns) AS llm_calls,
    count(CASE WHEN kind = 'llm' THEN retry_count END) AS retries_denied,
    count(CASE WHEN kind = 'llm' THEN fallback_used END) AS fallbacks_denied,
    min(call_start_unix_ns) AS first_call_unix_ns,
    max(call_start_unix_ns) AS last_call_unix_ns,
    sum(CASE WHEN kind = 'llm' THEN duration_ns END) AS llm_duration_ns,
    count(CASE WHEN kind = 'tool' THEN 1 END) AS tool_calls,
    count(CASE WHEN kind = 'tool' AND status = 'error' THEN 1 END) AS tool_errors,
    count(tool_bit) AS tool_calls_with_arguments,
    bit_count(bit_or(tool_bit)) AS different_tool_calls,
    count(CASE WHEN finish_reason = 'length' THEN 1 END) AS finished_by_length,
    count(CASE WHEN finish_reason = 'content_filter' THEN 1 END) AS finished_by_content_filter,
    count(CASE WHEN finish_reason = 'refusal' THEN 1 END) AS finished_by_refusal,
    CAST(sum(dropped_attributes) AS BIGINT) AS dropped_attributes,
    min(sampling_probability) AS sampling_probability,
    count(CASE WHEN bears_tokens THEN 1 END) AS calls_with_tokens,
    count(input_tokens) AS input_tokens_known,
    sum(input_tokens) AS input_tokens,
    count(output_tokens) AS output_tokens_known,
    sum(output_tokens) AS output_tokens,
    count(cache_read_tokens) AS cache_read_tokens_known,
    sum(cache_read_tokens) AS cache_read_tokens,
    count(cache_write_tokens) AS cache_write_tokens_known,
    sum(cache_write_tokens) AS cache_write_tokens,
    count(reasoning_tokens) AS reasoning_tokens_known,
    sum(reasoning_tokens) AS reasoning_tokens,
    count(reported_cost_nano_usd) AS reported_costs_known,
    sum(reported_cost_nano_usd) AS reported_cost_nano_usd,
    count(computed_cost_nano_usd) AS computed_costs_known,
    sum(computed_cost_nano_usd) AS computed_cost_nano_usd,
    count(cost_nano_usd) AS costs_known,
    sum(cost_nano_usd) AS cost_nano_usd,
    min(cost_source) AS first_cost_source,
    max(cost_source) AS last_cost_source,
    min(unpriced_model) AS first_unpriced_model,
    max(unpriced_model) AS last_unpriced_model,
    min(context_key) AS context_key,
    min(context_key) = max(context_key) AS is_same_context,
    min(call_key) AS call_key,
    coalesce(min(call_key) = max(call_key), TRUE) AS is_same_call_context,
    min(pair_id) AS pair_id,
    min(conversation_id) AS conversation_id,
    min(user_id) AS user_id,
    coalesce(min(pair_id) = max(pair_id), TRUE)
    AND coalesce(min(conversation_id) = max(conversation_id), TRUE)
    AND coalesce(min(user_id) = max(user_id), TRUE) AS is_same_user
FROM (
    SELECT
        digested.*,
        CAST(1 AS BIGINT) << CAST(id_digest % 62 AS INTEGER) AS id_bit,
        CAST(1 AS BIGINT) << CAST((id_digest >> 32) % 62 AS INTEGER) AS other_id_bit,
        CASE WHEN parent_span_id IS NOT NULL THEN CAST(1 AS BIGINT) << CAST(parent_digest % 62 AS INTEGER) END
            AS parent_bit,
        CASE WHEN parent_span_id IS NOT NULL THEN CAST(1 AS BIGINT) << CAST((parent_digest >> 32) % 62 AS INTEGER) END
            AS other_parent_bit
    FROM (
        SELECT
            rated_spans.*,
            kind = 'llm' OR bears_tokens AS bears,
            CASE WHEN kind = 'llm' THEN asked_model END AS called_model,
            CASE WHEN kind = 'llm' THEN start_unix_ns END AS call_start_unix_ns,
            CASE
                WHEN kind IN ('attempt', 'evaluator')
                    OR (kind = 'llm' AND status = 'error')
                    OR retry_count > 0
                    OR fallback_used
                    OR fallback_from IS NOT NULL
                    OR (
                        -- A call that says of itself that there was none changes nothing; of others it might.
                        coalesce(retry_count, CAST(fallback_used AS BIGINT)) IS NOT NULL
                        AND (kind IS DISTINCT FROM 'llm' OR retry_source = 'http_children')
                    )
                    OR parent_span_id = span_id
                    OR attributes['pydantic_ai.model_request.attempt'] IS NOT NULL
                    THEN 1
                ELSE 0
            END AS is_telling_span,
            CASE
                WHEN kind = 'embedding'
                    OR (kind = 'llm' AND asked_model IS NULL)
                    OR (bears_tokens AND kind IS DISTINCT FROM 'llm')
                    OR (
                        NOT bears_tokens
                        AND coalesce(
                            cache_read_tokens, cache_write_tokens, reasoning_tokens, reported_cost_nano_usd,
                            computed_cost_nano_usd
                        ) IS NOT NULL
                    )
                    THEN 1
                ELSE 0
            END AS is_odd_span,
            CASE WHEN kind IN ('llm', 'embedding') AND scope_name IS NOT NULL THEN hash(scope_name) END
                AS scope_digest,
            hash(span_id) AS id_digest,
            hash(parent_span_id) AS parent_digest,
            CASE WHEN kind = 'tool' AND tool_arguments_hash IS NOT NULL
                THEN CAST(1 AS BIGINT) << CAST(hash(tool_name, tool_arguments_hash) % 62 AS INTEGER) END AS tool_bit,
            hash(cohort, route, release, variant, prompt_name, prompt_version, service_name, environment) AS context_key,
            CASE WHEN kind = 'llm' THEN hash(convention, scope_name) END AS call_key
        FROM rated_spans
    ) AS digested
) AS marked
GROUP BY trace_id
