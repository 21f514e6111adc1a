-- The newest judgement of each key, of the traces that are derived again. One by response goes where its response is
-- found to come from, and so never replaces one that names its trace.
-- grain: trace_id, span_id, name, version, source, is_by_response and then response_id   params: $revision BIGINT
-- reads: landing_evaluations
SELECT CAST($revision AS BIGINT) AS revision, newest.* EXCLUDE (age_rank)
FROM (
    SELECT
        landing_evaluations.*,
        row_number() OVER (
            PARTITION BY
                trace_id, coalesce(span_id, ''), name, version, source,
                is_by_response, CASE WHEN is_by_response THEN response_id END
            ORDER BY received_unix_ns DESC, time_unix_ns DESC, score DESC NULLS LAST, label DESC NULLS LAST, passed
        ) AS age_rank
    FROM landing_evaluations
) AS newest
WHERE newest.age_rank = 1
