-- What is missing in the arms, and which traces touched both; by cohort and arm.
-- contaminated: the other arm's model was called too; the trace counts for the arm asked first.
-- sampling_weight_milli: traces that these stand for by their sampler, times 1000; one where it does not say.
-- with_thumbs: marked by a person, up or down.
-- grain: cohort_name, arm_name   params: $arms VARCHAR[]   reads: question_traces, trace_evaluations, trace_feedback
SELECT
    question_traces.cohort_name,
    question_traces.arm_name,
    count(*) AS traces,
    max(question_traces.start_unix_ns) AS last_start_unix_ns,
    count(*) FILTER (WHERE NOT question_traces.has_root) AS without_root,
    count(*) FILTER (WHERE question_traces.dropped_attributes > 0) AS with_dropped_attributes,
    count(*) FILTER (WHERE question_traces.lost_spans > 0) AS with_lost_spans,
    CAST(sum(round(least(1000 / coalesce(question_traces.sampling_probability, 1), 1e12))) AS BIGINT)
        AS sampling_weight_milli,
    count(question_traces.input_tokens) AS with_tokens,
    count(question_traces.cost_nano_usd) AS with_cost,
    count(judged.trace_id) AS evaluated,
    count(*) FILTER (WHERE question_traces.can_show_retries) AS retries_visible,
    count(trace_feedback.is_thumbs_down) AS with_thumbs,
    count(*) FILTER (WHERE len(list_intersect(question_traces.models, $arms)) > 1) AS contaminated
FROM question_traces
LEFT JOIN (SELECT DISTINCT trace_id FROM trace_evaluations) AS judged ON question_traces.trace_id = judged.trace_id
LEFT JOIN trace_feedback ON question_traces.trace_id = trace_feedback.trace_id
GROUP BY question_traces.cohort_name, question_traces.arm_name
ORDER BY question_traces.cohort_name, question_traces.arm_name
