-- How many clusters an arm has to itself, and how many are in both; paired_traces have a pair id. One row.
-- grain: one row   params: $base, $candidate VARCHAR   reads: question_strata
SELECT
    count(*) FILTER (WHERE in_base) AS base_clusters,
    count(*) FILTER (WHERE in_candidate) AS candidate_clusters,
    count(*) FILTER (WHERE in_base AND in_candidate) AS shared_clusters,
    coalesce(sum(base_traces), 0) AS base_traces,
    coalesce(sum(candidate_traces), 0) AS candidate_traces,
    coalesce(sum(paired_traces), 0) AS paired_traces
FROM (
    SELECT
        cluster_id,
        bool_or(arm_name = $base) AS in_base,
        bool_or(arm_name = $candidate) AS in_candidate,
        count(*) FILTER (WHERE arm_name = $base) AS base_traces,
        count(*) FILTER (WHERE arm_name = $candidate) AS candidate_traces,
        count(pair_id) AS paired_traces
    FROM question_strata
    GROUP BY cluster_id
) AS clusters
