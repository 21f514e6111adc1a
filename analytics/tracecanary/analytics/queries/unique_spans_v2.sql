-- The spans of intricate traces, each once: of duplicates the one that knows most, as in spans_v1.
-- grain: trace_id, span_id   params: none   reads: close_spans, intricate_traces
WITH delivered AS (
    SELECT
        close_spans.* EXCLUDE (parent_span_id),
        CASE WHEN close_spans.parent_span_id != close_spans.span_id THEN close_spans.parent_span_id END AS parent_span_id
    FROM close_spans
    INNER JOIN intricate_traces ON close_spans.trace_id = intricate_traces.trace_id
),
-- Few are, and to rank all spans would cost more than the rest.
delivered_again AS (
    SELECT trace_id, span_id
    FROM delivered
    GROUP BY trace_id, span_id
    HAVING count(*) > 1
)
SELECT delivered.*
FROM delivered
LEFT JOIN delivered_again
    ON delivered.trace_id = delivered_again.trace_id AND delivered.span_id = delivered_again.span_id
WHERE delivered_again.span_id IS NULL
UNION ALL
SELECT ranked.* EXCLUDE (duplicate_rank)
FROM (
    SELECT
        delivered.*,
        row_number() OVER (
            PARTITION BY delivered.trace_id, delivered.span_id
            ORDER BY
                coalesce(cardinality(attributes), 0) DESC,
                model IS NULL, input_tokens IS NULL, output_tokens IS NULL, reported_cost_nano_usd IS NULL,
                duration_ns DESC, start_unix_ns, status, name, output_tokens DESC, input_tokens DESC
        ) AS duplicate_rank
    FROM delivered
    INNER JOIN delivered_again
        ON delivered.trace_id = delivered_again.trace_id AND delivered.span_id = delivered_again.span_id
) AS ranked
WHERE ranked.duplicate_rank = 1
