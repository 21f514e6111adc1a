-- One row per judged trace and evaluator: a trace failed when any of its spans did. Unscored judgements count for
-- nothing, neither passed nor failed. Feedback of people has metrics of its own and is not here.
-- grain: trace_id, evaluator, version   params: none   reads: evaluations
SELECT
    trace_id,
    name AS evaluator,
    version,
    bool_or(NOT passed) AS has_failed
FROM evaluations
WHERE passed IS NOT NULL AND name NOT IN ('thumbs', 'escalation')
GROUP BY trace_id, name, version
