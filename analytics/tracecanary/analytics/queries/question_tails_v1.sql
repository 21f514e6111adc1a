-- What values above a metric's cap have beyond it: subtracted from the sums of question_groups_v1 it caps them, and n is
-- the tail's count.
-- grain: cohort, arm, stratum, metric, evaluator, g
-- params: $metrics VARCHAR[] and $caps DOUBLE[], one cap a metric   reads: question_metric_values, question_strata
SELECT
    question_strata.cohort_name AS cohort,
    question_strata.arm_name AS arm,
    question_strata.stratum,
    capped.metric,
    capped.evaluator,
    question_strata.g,
    count(*) AS n,
    sum(capped.value - capped.cap ORDER BY capped.value) AS total,
    sum(capped.value * capped.value - capped.cap * capped.cap ORDER BY capped.value) AS total_sq,
    sum(
        capped.value * capped.value * capped.value - capped.cap * capped.cap * capped.cap ORDER BY capped.value
    ) AS total_cube
FROM (
    SELECT trace_id, metric, evaluator, value, $caps[list_position($metrics, metric)] AS cap
    FROM question_metric_values
    WHERE list_contains($metrics, metric)
) AS capped
INNER JOIN question_strata ON capped.trace_id = question_strata.trace_id
WHERE capped.value > capped.cap
GROUP BY
    question_strata.cohort_name, question_strata.arm_name, question_strata.stratum, capped.metric, capped.evaluator,
    question_strata.g
ORDER BY cohort, arm, question_strata.stratum, capped.metric, capped.evaluator, question_strata.g
