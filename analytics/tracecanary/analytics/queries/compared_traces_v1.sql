-- The traces whose trajectories are compared, as given.
-- grain: trace_id   params: $trace_ids, $arms, $cohorts VARCHAR[]; $failed BOOLEAN[]: of one length   reads: none
SELECT
    unnest(CAST($trace_ids AS VARCHAR[])) AS trace_id,
    unnest(CAST($arms AS VARCHAR[])) AS arm_name,
    unnest(CAST($cohorts AS VARCHAR[])) AS cohort_name,
    unnest(CAST($failed AS BOOLEAN[])) AS is_failed
