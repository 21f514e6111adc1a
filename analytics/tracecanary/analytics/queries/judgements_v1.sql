-- The newest judgement of each key, of the traces that are derived again.
-- grain: trace_id, span_id, name, version, source   params: $revision BIGINT   reads: landing_evaluations
SELECT $revision AS revision, newest.* EXCLUDE (age_rank)
FROM (
    SELECT
        landing_evaluations.*,
        row_number() OVER (
            PARTITION BY trace_id, coalesce(span_id, ''), name, version, source
            ORDER BY received_unix_ns DESC, time_unix_ns DESC, score DESC NULLS LAST, label DESC NULLS LAST, passed
        ) AS age_rank
    FROM landing_evaluations
) AS newest
WHERE newest.age_rank = 1
