-- Sums over traces by day, rollup key and cluster group: counts, and sums of values with their squares and cubes.
-- Integers alone, so that adding up is exact in any order: cost in nano-USD, its cubes in micro-USD, which do not fit else.
-- <value>_known counts the traces that have the value; with_cost those with a cost. judged, failed: by any evaluator.
-- grain: day_unix_ns, rollup_key, g   params: none   reads: rolled
SELECT
    day_unix_ns,
    rollup_key,
    cluster_group AS g,
    CAST(sum(sign) AS BIGINT) AS traces,
    CAST(sum(CASE WHEN is_error THEN sign ELSE 0 END) AS BIGINT) AS errors,
    CAST(sum(CASE WHEN tool_errors > 0 THEN sign ELSE 0 END) AS BIGINT) AS with_tool_errors,
    CAST(sum(CASE WHEN retries > 0 THEN sign ELSE 0 END) AS BIGINT) AS retried,
    CAST(sum(CASE WHEN is_fallback THEN sign ELSE 0 END) AS BIGINT) AS fell_back,
    CAST(sum(CASE WHEN is_thumbs_down IS NOT NULL THEN sign ELSE 0 END) AS BIGINT) AS thumbs_known,
    CAST(sum(CASE WHEN is_thumbs_down THEN sign ELSE 0 END) AS BIGINT) AS thumbs_down,
    CAST(sum(CASE WHEN is_escalated IS NOT NULL THEN sign ELSE 0 END) AS BIGINT) AS escalation_known,
    CAST(sum(CASE WHEN is_escalated THEN sign ELSE 0 END) AS BIGINT) AS escalated,
    CAST(sum(CASE WHEN outcomes IS NOT NULL THEN sign ELSE 0 END) AS BIGINT) AS judged,
    CAST(sum(CASE WHEN has_failed THEN sign ELSE 0 END) AS BIGINT) AS failed,
    CAST(sum(CASE WHEN has_root THEN 0 ELSE sign END) AS BIGINT) AS without_root,
    CAST(sum(CASE WHEN dropped_attributes > 0 THEN sign ELSE 0 END) AS BIGINT) AS with_dropped_attributes,
    CAST(sum(CASE WHEN lost_spans > 0 THEN sign ELSE 0 END) AS BIGINT) AS with_lost_spans,
    CAST(sum(sign * sampling_weight_milli) AS BIGINT) AS sampling_weight_milli,
    CAST(sum(CASE WHEN cost_nano_usd IS NOT NULL THEN sign ELSE 0 END) AS BIGINT) AS with_cost,
    CAST(greatest(least(sum(sign * coalesce(cost_nano_usd, 0)), 9000000000000000000), -9000000000000000000) AS BIGINT)
        AS cost_total,
    CAST(sum(CASE WHEN input_tokens IS NOT NULL THEN sign ELSE 0 END) AS BIGINT) AS input_tokens_known,
    CAST(sum(sign * coalesce(input_tokens, 0)) AS BIGINT) AS input_tokens_total,
    CAST(sum(CASE WHEN output_tokens IS NOT NULL THEN sign ELSE 0 END) AS BIGINT) AS output_tokens_known,
    CAST(sum(sign * coalesce(output_tokens, 0)) AS BIGINT) AS output_tokens_total,
    CAST(sum(sign * steps) AS BIGINT) AS steps_total,
    CAST(sum(sign * cost_value * cost_value) AS DECIMAL(38, 0)) AS cost_sq,
    CAST(sum(sign * cost_micro_usd * cost_micro_usd * cost_micro_usd) AS DECIMAL(38, 0)) AS cost_cube,
    CAST(sum(sign * input_tokens_value * input_tokens_value) AS DECIMAL(38, 0)) AS input_tokens_sq,
    CAST(sum(sign * input_tokens_value * input_tokens_value * input_tokens_value) AS DECIMAL(38, 0)) AS input_tokens_cube,
    CAST(sum(sign * output_tokens_value * output_tokens_value) AS DECIMAL(38, 0)) AS output_tokens_sq,
    CAST(sum(sign * output_tokens_value * output_tokens_value * output_tokens_value) AS DECIMAL(38, 0)) AS output_tokens_cube,
    CAST(sum(sign * steps_value * steps_value) AS DECIMAL(38, 0)) AS steps_sq,
    CAST(sum(sign * steps_value * steps_value * steps_value) AS DECIMAL(38, 0)) AS steps_cube
FROM rolled
GROUP BY day_unix_ns, rollup_key, cluster_group
ORDER BY day_unix_ns, rollup_key, g
