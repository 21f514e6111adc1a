-- One row per span: delivery is at least once, so a span may lie in several segments.
-- Of duplicates the one with most attributes is kept: an early export can lack what a later one has.
-- grain: trace_id, span_id   params: none   reads: landing_spans
SELECT ranked.*
FROM (
    SELECT
        landing_spans.*,
        row_number() OVER (
            PARTITION BY trace_id, span_id
            ORDER BY cardinality(attributes) DESC, model IS NULL, duration_ns DESC, start_unix_ns, name
        ) AS duplicate_rank
    FROM landing_spans
) AS ranked
WHERE ranked.duplicate_rank = 1
