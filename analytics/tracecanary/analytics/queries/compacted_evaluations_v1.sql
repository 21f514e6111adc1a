-- Evaluations as compaction stores them: one row per key (the newest, as in evaluations_v1), an hour of receipt after
-- the other, and within it those of a trace together. hour_unix_ns and duplicate_rank are not stored.
-- grain: trace_id, span_id, response_id, name, version, source   params: $kept_from_unix_ns BIGINT   reads: landing_evaluations
SELECT ranked.*, received_unix_ns - received_unix_ns % 3600000000000 AS hour_unix_ns
FROM (
    SELECT
        landing_evaluations.*,
        row_number() OVER (
            PARTITION BY
                trace_id, coalesce(span_id, ''), CASE WHEN trace_id IS NULL THEN response_id END, name, version, source
            ORDER BY received_unix_ns DESC, time_unix_ns DESC, score DESC NULLS LAST, label DESC NULLS LAST, passed
        ) AS duplicate_rank
    FROM landing_evaluations
) AS ranked
WHERE ranked.duplicate_rank = 1 AND ranked.received_unix_ns >= $kept_from_unix_ns
ORDER BY hour_unix_ns, trace_id, received_unix_ns, span_id, response_id, name, version, source
