-- The traces of a time as rollups count them, with cluster groups by pair before conversation if that is asked for.
-- Columns as in rolled_v2, as far as rollups read them; nothing leaves: sign is 1.
-- grain: trace_id
-- params: $from_ns, $to_ns BIGINT (from inclusive, to exclusive); $keys BIGINT[], rollup keys, all if empty;
--         $pairs_first BOOLEAN
-- reads: live_facts
SELECT
    named.* EXCLUDE (cluster_group),
    CASE WHEN $pairs_first AND cluster_name LIKE 'pair %'
        THEN CAST(concat('0x', substr(md5('tracecanary' || cluster_name), 1, 2)) AS BIGINT) % 128
        ELSE cluster_group END AS cluster_group
FROM (
    SELECT
        trace_id,
        rollup_key,
        start_unix_ns,
        duration_ns,
        cluster_group,
        is_error,
        tool_errors,
        retries,
        is_fallback,
        is_thumbs_down,
        is_escalated,
        outcomes,
        has_root,
        dropped_attributes,
        lost_spans,
        cost_nano_usd,
        input_tokens,
        output_tokens,
        steps,
        tool_versions,
        measures,
        1 AS sign,
        start_unix_ns - start_unix_ns % 86400000000000 AS day_unix_ns,
        coalesce(
            'user ' || user_id, CASE WHEN $pairs_first THEN 'pair ' || pair_id END, 'conversation ' || conversation_id,
            'pair ' || pair_id, 'trace ' || trace_id
        ) AS cluster_name,
        CAST(coalesce(cost_nano_usd, 0) AS HUGEINT) AS cost_value,
        CAST(round(coalesce(cost_nano_usd, 0) / 1000.0) AS HUGEINT) AS cost_micro_usd,
        CAST(coalesce(input_tokens, 0) AS HUGEINT) AS input_tokens_value,
        CAST(coalesce(output_tokens, 0) AS HUGEINT) AS output_tokens_value,
        CAST(steps AS HUGEINT) AS steps_value,
        CAST(round(least(1000 / coalesce(sampling_probability, 1), 1e12)) AS BIGINT) AS sampling_weight_milli,
        len(list_filter(outcomes, lambda outcome: outcome.has_failed)) > 0 AS has_failed
    FROM live_facts
    WHERE
        rollup_key IS NOT NULL
        AND start_unix_ns >= $from_ns
        AND start_unix_ns < $to_ns
        AND (len($keys) = 0 OR list_contains($keys, rollup_key))
) AS named
