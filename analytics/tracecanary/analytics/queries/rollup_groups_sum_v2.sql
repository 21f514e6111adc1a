-- The sums of several parts, added up.
-- grain: day_unix_ns, rollup_key, g   params: none   reads: stored_rollup_groups
SELECT
    day_unix_ns,
    rollup_key,
    g,
    CAST(sum(traces) AS BIGINT) AS traces,
    CAST(sum(errors) AS BIGINT) AS errors,
    CAST(sum(with_tool_errors) AS BIGINT) AS with_tool_errors,
    CAST(sum(retried) AS BIGINT) AS retried,
    CAST(sum(fell_back) AS BIGINT) AS fell_back,
    CAST(sum(thumbs_known) AS BIGINT) AS thumbs_known,
    CAST(sum(thumbs_down) AS BIGINT) AS thumbs_down,
    CAST(sum(escalation_known) AS BIGINT) AS escalation_known,
    CAST(sum(escalated) AS BIGINT) AS escalated,
    CAST(sum(judged) AS BIGINT) AS judged,
    CAST(sum(failed) AS BIGINT) AS failed,
    CAST(sum(without_root) AS BIGINT) AS without_root,
    CAST(sum(with_dropped_attributes) AS BIGINT) AS with_dropped_attributes,
    CAST(sum(with_lost_spans) AS BIGINT) AS with_lost_spans,
    CAST(sum(sampling_weight_milli) AS BIGINT) AS sampling_weight_milli,
    CAST(sum(with_cost) AS BIGINT) AS with_cost,
    CAST(greatest(least(sum(cost_total), 9000000000000000000), -9000000000000000000) AS BIGINT) AS cost_total,
    CAST(sum(input_tokens_known) AS BIGINT) AS input_tokens_known,
    CAST(sum(input_tokens_total) AS BIGINT) AS input_tokens_total,
    CAST(sum(output_tokens_known) AS BIGINT) AS output_tokens_known,
    CAST(sum(output_tokens_total) AS BIGINT) AS output_tokens_total,
    CAST(sum(steps_total) AS BIGINT) AS steps_total,
    CAST(sum(cost_sq) AS DECIMAL(38, 0)) AS cost_sq,
    CAST(sum(cost_cube) AS DECIMAL(38, 0)) AS cost_cube,
    CAST(sum(input_tokens_sq) AS DECIMAL(38, 0)) AS input_tokens_sq,
    CAST(sum(input_tokens_cube) AS DECIMAL(38, 0)) AS input_tokens_cube,
    CAST(sum(output_tokens_sq) AS DECIMAL(38, 0)) AS output_tokens_sq,
    CAST(sum(output_tokens_cube) AS DECIMAL(38, 0)) AS output_tokens_cube,
    CAST(sum(steps_sq) AS DECIMAL(38, 0)) AS steps_sq,
    CAST(sum(steps_cube) AS DECIMAL(38, 0)) AS steps_cube
FROM stored_rollup_groups
GROUP BY day_unix_ns, rollup_key, g
ORDER BY day_unix_ns, rollup_key, g
