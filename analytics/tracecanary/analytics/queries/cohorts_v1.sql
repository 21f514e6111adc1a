-- One row per cohort of the question's dimensions.
-- grain: cohort_name   params: none   reads: question_traces
SELECT
    cohort_name,
    count(*) AS traces,
    min(start_unix_ns) AS first_seen_unix_ns,
    max(start_unix_ns) AS last_seen_unix_ns
FROM question_traces
GROUP BY cohort_name
ORDER BY cohort_name
