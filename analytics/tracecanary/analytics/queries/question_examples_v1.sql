-- A few traces worth opening by cohort and arm: failed ones first, then the slowest.
-- grain: cohort_name, arm_name, trace_id   params: $most INTEGER   reads: question_traces, trace_evaluations
SELECT ranked.cohort_name, ranked.arm_name, ranked.trace_id
FROM (
    SELECT
        question_traces.cohort_name,
        question_traces.arm_name,
        question_traces.trace_id,
        row_number() OVER (
            PARTITION BY question_traces.cohort_name, question_traces.arm_name
            ORDER BY
                coalesce(judged.has_failed, FALSE) DESC, question_traces.is_error DESC,
                question_traces.duration_ns DESC, question_traces.trace_id
        ) AS place
    FROM question_traces
    LEFT JOIN (
        SELECT trace_id, bool_or(has_failed) AS has_failed FROM trace_evaluations GROUP BY trace_id
    ) AS judged ON question_traces.trace_id = judged.trace_id
) AS ranked
WHERE ranked.place <= $most
ORDER BY ranked.cohort_name, ranked.arm_name, ranked.place
