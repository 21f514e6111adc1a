-- Sums over traces by hour and rollup key: what series are drawn from. Columns as in rollup_groups.
-- grain: hour_unix_ns, rollup_key   params: none   reads: rolled
SELECT
    start_unix_ns - start_unix_ns % 3600000000000 AS hour_unix_ns,
    rollup_key,
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
    CAST(sum(CASE WHEN cost_nano_usd IS NOT NULL THEN sign ELSE 0 END) AS BIGINT) AS with_cost,
    CAST(greatest(least(sum(sign * coalesce(cost_nano_usd, 0)), 9000000000000000000), -9000000000000000000) AS BIGINT)
        AS cost_total,
    CAST(sum(CASE WHEN input_tokens IS NOT NULL THEN sign ELSE 0 END) AS BIGINT) AS input_tokens_known,
    CAST(sum(sign * coalesce(input_tokens, 0)) AS BIGINT) AS input_tokens_total,
    CAST(sum(CASE WHEN output_tokens IS NOT NULL THEN sign ELSE 0 END) AS BIGINT) AS output_tokens_known,
    CAST(sum(sign * coalesce(output_tokens, 0)) AS BIGINT) AS output_tokens_total,
    CAST(sum(sign * steps) AS BIGINT) AS steps_total
FROM rolled
GROUP BY start_unix_ns - start_unix_ns % 3600000000000, rollup_key
ORDER BY hour_unix_ns, rollup_key
