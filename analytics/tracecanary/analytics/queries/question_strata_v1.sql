-- Each trace of a question with its stratum and cluster group, joined to what it measured by trace_id.
--   cluster_id   the unit that repeats: user, else conversation, else pair, else the trace itself; with $pairs_first, a
--                pair comes before a conversation, for arms that answered the same requests in conversations of their own
--   stratum      number of the period of constant traffic split, 0 the first
--   g            cluster group 0..127: the first byte of md5(salt || cluster id) modulo 128, spelled out from its two hex
--                digits, so that any engine gives the same
-- grain: trace_id   params: $salt VARCHAR; $pairs_first BOOLEAN; $period_starts_ns BIGINT[], ascending, without the first period's
-- reads: question_traces
SELECT
    trace_id,
    cohort_name,
    arm_name,
    start_unix_ns,
    cluster_id,
    pair_id,
    len(list_filter($period_starts_ns, lambda start_ns: start_ns <= start_unix_ns)) AS stratum,
    (
        (strpos('0123456789abcdef', substr(digest, 1, 1)) - 1) * 16
        + strpos('0123456789abcdef', substr(digest, 2, 1)) - 1
    ) % 128 AS g
FROM (
    SELECT
        trace_id,
        cohort_name,
        arm_name,
        start_unix_ns,
        pair_id,
        cluster_id,
        md5($salt || cluster_id) AS digest
    FROM (
        SELECT
            *,
            coalesce(
                'user ' || user_id,
                CASE WHEN $pairs_first THEN 'pair ' || pair_id END,
                'conversation ' || conversation_id,
                'pair ' || pair_id,
                'trace ' || trace_id
            ) AS cluster_id
        FROM question_traces
    ) AS named
) AS clusters
