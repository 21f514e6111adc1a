-- One row per trace that a person gave feedback on.
-- grain: trace_id   params: none   reads: evaluations
SELECT
    trace_id,
    bool_or(NOT passed) FILTER (WHERE name = 'thumbs') AS is_thumbs_down,
    bool_or(NOT passed) FILTER (WHERE name = 'escalation') AS is_escalated
FROM evaluations
WHERE name IN ('thumbs', 'escalation')
GROUP BY trace_id
