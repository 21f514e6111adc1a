-- One row per trace that a person gave feedback on, as trace_feedback_v1 finds it, read from what is kept of each trace.
-- grain: trace_id   params: none   reads: live_facts
SELECT trace_id, is_thumbs_down, is_escalated
FROM live_facts
WHERE is_thumbs_down IS NOT NULL OR is_escalated IS NOT NULL
