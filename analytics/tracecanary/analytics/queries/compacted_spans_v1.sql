-- Spans as compaction stores them: one row per span, as it came (spans_v1 has the choice between duplicates), an hour
-- after the other, and within it a trace together. hour_unix_ns and duplicate_rank are not stored.
-- grain: trace_id, span_id   params: $kept_from_unix_ns BIGINT   reads: landing_spans
SELECT ranked.*, start_unix_ns - start_unix_ns % 3600000000000 AS hour_unix_ns
FROM (
    SELECT
        landing_spans.*,
        row_number() OVER (
            PARTITION BY trace_id, span_id
            ORDER BY
                coalesce(cardinality(attributes), 0) DESC,
                model IS NULL, input_tokens IS NULL, output_tokens IS NULL, reported_cost_nano_usd IS NULL,
                duration_ns DESC, start_unix_ns, status, name, output_tokens DESC, input_tokens DESC
        ) AS duplicate_rank
    FROM landing_spans
) AS ranked
WHERE ranked.duplicate_rank = 1 AND ranked.start_unix_ns >= $kept_from_unix_ns
ORDER BY hour_unix_ns, trace_id, start_unix_ns, span_id
