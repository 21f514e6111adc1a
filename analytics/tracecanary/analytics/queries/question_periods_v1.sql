-- Traces and clusters of each arm by cohort and period, and when they started.
-- grain: cohort, arm, stratum   params: none   reads: question_strata
SELECT
    cohort_name AS cohort,
    arm_name AS arm,
    stratum,
    count(*) AS traces,
    count(DISTINCT cluster_id) AS clusters,
    min(start_unix_ns) AS first_start_unix_ns,
    max(start_unix_ns) AS last_start_unix_ns
FROM question_strata
GROUP BY cohort_name, arm_name, stratum
ORDER BY cohort, arm, stratum
