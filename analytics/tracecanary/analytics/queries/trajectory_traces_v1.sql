-- The newest traces of each arm of a question: those whose trajectories are compared.
-- of_traces: all traces of the arm that the question is about.
-- grain: trace_id   params: $from_ns, $to_ns BIGINT (from inclusive, to exclusive); $most INTEGER, an arm
-- reads: question_keys, live_facts
SELECT newest.trace_id, newest.arm_name, newest.cohort_name, newest.pair_id, newest.is_failed, newest.of_traces
FROM (
    SELECT
        live_facts.trace_id,
        live_facts.pair_id,
        question_keys.arm_name,
        question_keys.cohort_name,
        live_facts.is_error
        OR coalesce(len(list_filter(live_facts.outcomes, lambda outcome: outcome.has_failed)) > 0, FALSE) AS is_failed,
        count(*) OVER (PARTITION BY question_keys.arm_name) AS of_traces,
        row_number() OVER (
            PARTITION BY question_keys.arm_name ORDER BY live_facts.start_unix_ns DESC, live_facts.trace_id
        ) AS age_rank
    FROM live_facts
    INNER JOIN question_keys ON live_facts.rollup_key = question_keys.rollup_key
    WHERE live_facts.start_unix_ns >= $from_ns AND live_facts.start_unix_ns < $to_ns
) AS newest
WHERE newest.age_rank <= $most
ORDER BY newest.trace_id
