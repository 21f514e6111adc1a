-- One row per judged trace: what each evaluator found, in order of names, and the feedback of people.
-- grain: trace_id   params: none   reads: trace_evaluations, trace_feedback
SELECT
    coalesce(judged.trace_id, trace_feedback.trace_id) AS trace_id,
    judged.outcomes,
    trace_feedback.is_thumbs_down,
    trace_feedback.is_escalated
FROM (
    SELECT
        trace_id,
        list_sort(list(struct_pack(evaluator := evaluator, version := version, has_failed := has_failed))) AS outcomes
    FROM trace_evaluations
    GROUP BY trace_id
) AS judged
FULL JOIN trace_feedback ON judged.trace_id = trace_feedback.trace_id
