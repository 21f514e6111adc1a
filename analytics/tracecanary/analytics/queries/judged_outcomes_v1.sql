-- One row per judged trace and evaluator, as trace_evaluations_v1 finds it, read from what is kept of each trace.
-- grain: trace_id, evaluator, version   params: none   reads: live_facts
SELECT
    judged.trace_id,
    judged.outcome.evaluator AS evaluator,
    judged.outcome.version AS version,
    judged.outcome.has_failed AS has_failed
FROM (SELECT trace_id, unnest(outcomes) AS outcome FROM live_facts WHERE outcomes IS NOT NULL) AS judged
