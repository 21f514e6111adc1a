-- What changes in the rollups: each trace derived again enters with what it is now, and leaves with what it was.
-- sampling_weight_milli: traces that one stands for, times 1000, so that sums are exact; 1 where the sampler does not say.
-- <value>_value is wide enough for powers, and 0 where there is none; has_failed: by any evaluator.
--   cluster_name  what the trace is one of several of: its user, else conversation, else pair; else the trace itself
-- grain: trace_id, sign (1 or -1)   params: none   reads: new_facts, old_facts
SELECT
    changes.*,
    start_unix_ns - start_unix_ns % 86400000000000 AS day_unix_ns,
    coalesce(
        'user ' || user_id, 'conversation ' || conversation_id, 'pair ' || pair_id, 'trace ' || trace_id
    ) AS cluster_name,
    CAST(coalesce(cost_nano_usd, 0) AS HUGEINT) AS cost_value,
    CAST(round(coalesce(cost_nano_usd, 0) / 1000.0) AS HUGEINT) AS cost_micro_usd,
    CAST(coalesce(input_tokens, 0) AS HUGEINT) AS input_tokens_value,
    CAST(coalesce(output_tokens, 0) AS HUGEINT) AS output_tokens_value,
    CAST(steps AS HUGEINT) AS steps_value,
    CAST(round(least(1000 / coalesce(sampling_probability, 1), 1e12)) AS BIGINT) AS sampling_weight_milli,
    len(list_filter(outcomes, lambda outcome: outcome.has_failed)) > 0 AS has_failed
FROM (
    SELECT 1 AS sign, new_facts.*
    FROM new_facts
    UNION ALL BY NAME
    SELECT -1 AS sign, old_facts.*
    FROM old_facts
) AS changes
WHERE changes.rollup_key IS NOT NULL
