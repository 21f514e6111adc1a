-- rollup_groups added up by blocks of days. Sums are floating-point numbers from here on.
-- grain: first_day (since the epoch), rollup_key, g   params: $days INTEGER   reads: stored_rollup_groups
SELECT
    CAST($days AS INTEGER) AS days,
    CAST((day_unix_ns - day_unix_ns % ($days * 86400000000000)) / 86400000000000 AS INTEGER) AS first_day,
    rollup_key,
    CAST(g AS SMALLINT) AS g,
    CAST(sum(traces) AS DOUBLE) AS traces,
    CAST(sum(errors) AS DOUBLE) AS errors,
    CAST(sum(with_tool_errors) AS DOUBLE) AS with_tool_errors,
    CAST(sum(retried) AS DOUBLE) AS retried,
    CAST(sum(fell_back) AS DOUBLE) AS fell_back,
    CAST(sum(thumbs_known) AS DOUBLE) AS thumbs_known,
    CAST(sum(thumbs_down) AS DOUBLE) AS thumbs_down,
    CAST(sum(escalation_known) AS DOUBLE) AS escalation_known,
    CAST(sum(escalated) AS DOUBLE) AS escalated,
    CAST(sum(judged) AS DOUBLE) AS judged,
    CAST(sum(without_root) AS DOUBLE) AS without_root,
    CAST(sum(with_dropped_attributes) AS DOUBLE) AS with_dropped_attributes,
    CAST(sum(with_lost_spans) AS DOUBLE) AS with_lost_spans,
    CAST(sum(sampling_weight_milli) AS DOUBLE) AS sampling_weight_milli,
    CAST(sum(with_cost) AS DOUBLE) AS with_cost,
    CAST(sum(cost_total) AS DOUBLE) AS cost_total,
    CAST(sum(cost_sq) AS DOUBLE) AS cost_sq,
    CAST(sum(cost_cube) AS DOUBLE) AS cost_cube,
    CAST(sum(input_tokens_known) AS DOUBLE) AS input_tokens_known,
    CAST(sum(input_tokens_total) AS DOUBLE) AS input_tokens_total,
    CAST(sum(input_tokens_sq) AS DOUBLE) AS input_tokens_sq,
    CAST(sum(input_tokens_cube) AS DOUBLE) AS input_tokens_cube,
    CAST(sum(output_tokens_known) AS DOUBLE) AS output_tokens_known,
    CAST(sum(output_tokens_total) AS DOUBLE) AS output_tokens_total,
    CAST(sum(output_tokens_sq) AS DOUBLE) AS output_tokens_sq,
    CAST(sum(output_tokens_cube) AS DOUBLE) AS output_tokens_cube,
    CAST(sum(steps_total) AS DOUBLE) AS steps_total,
    CAST(sum(steps_sq) AS DOUBLE) AS steps_sq,
    CAST(sum(steps_cube) AS DOUBLE) AS steps_cube
FROM stored_rollup_groups
GROUP BY day_unix_ns - day_unix_ns % ($days * 86400000000000), rollup_key, g
ORDER BY first_day, rollup_key, stored_rollup_groups.g
