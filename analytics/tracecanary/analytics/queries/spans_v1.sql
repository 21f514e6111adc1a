-- One row per span: delivery is at least once, so a span may lie in several segments.
-- Of duplicates the one that knows most is kept: an early export can lack what a later one has, in the remaining
-- attributes or in the columns. The last keys only make the choice the same every time.
-- A span that names itself as its parent is a root: as its own ancestor, it would count for nothing.
-- grain: trace_id, span_id   params: none   reads: landing_spans
SELECT
    ranked.* EXCLUDE (parent_span_id),
    CASE WHEN ranked.parent_span_id != ranked.span_id THEN ranked.parent_span_id END AS parent_span_id
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
WHERE ranked.duplicate_rank = 1
