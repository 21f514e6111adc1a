-- Pairs: the base's and the candidate's answer to one request, by what each metric with values 0 and 1 found in them.
-- A pair with several traces in an arm counts with the first of each. Traces whose pair id the other arm lacks, or that
-- have none, are no pair.
-- grain: cohort, metric, evaluator   params: $base, $candidate VARCHAR; $metrics VARCHAR[]
-- reads: question_traces, question_metric_values
WITH first_traces AS (
    SELECT pair_id, arm_name, cohort_name, min_by(trace_id, (start_unix_ns, trace_id)) AS trace_id
    FROM question_traces
    WHERE pair_id IS NOT NULL
    GROUP BY pair_id, arm_name, cohort_name
),
pairs AS (
    SELECT bases.cohort_name, bases.trace_id AS base_trace_id, candidates.trace_id AS candidate_trace_id
    FROM first_traces AS bases
    INNER JOIN first_traces AS candidates
        ON bases.pair_id = candidates.pair_id AND bases.cohort_name = candidates.cohort_name
    WHERE bases.arm_name = $base AND candidates.arm_name = $candidate
)
SELECT
    pairs.cohort_name AS cohort,
    base_values.metric,
    base_values.evaluator,
    count(*) FILTER (WHERE base_values.value = 1 AND candidate_values.value = 1) AS both,
    count(*) FILTER (WHERE base_values.value = 1 AND candidate_values.value = 0) AS base_only,
    count(*) FILTER (WHERE base_values.value = 0 AND candidate_values.value = 1) AS candidate_only,
    count(*) FILTER (WHERE base_values.value = 0 AND candidate_values.value = 0) AS neither
FROM pairs
INNER JOIN question_metric_values AS base_values ON pairs.base_trace_id = base_values.trace_id
INNER JOIN question_metric_values AS candidate_values
    ON pairs.candidate_trace_id = candidate_values.trace_id
    AND base_values.metric = candidate_values.metric
    AND base_values.evaluator IS NOT DISTINCT FROM candidate_values.evaluator
WHERE list_contains($metrics, base_values.metric)
GROUP BY pairs.cohort_name, base_values.metric, base_values.evaluator
ORDER BY cohort, base_values.metric, base_values.evaluator
