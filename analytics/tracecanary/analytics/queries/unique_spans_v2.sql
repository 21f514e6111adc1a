-- The spans of intricate traces, each once: of duplicates the one that knows most, as in spans_v1.
-- grain: trace_id, span_id   params: none   reads: close_spans, intricate_traces
SELECT
    ranked.* EXCLUDE (duplicate_rank, parent_span_id),
    CASE WHEN ranked.parent_span_id != ranked.span_id THEN ranked.parent_span_id END AS parent_span_id
FROM (
    SELECT
        close_spans.*,
        row_number() OVER (
            PARTITION BY close_spans.trace_id, close_spans.span_id
            ORDER BY
                coalesce(cardinality(attributes), 0) DESC,
                model IS NULL, input_tokens IS NULL, output_tokens IS NULL, reported_cost_nano_usd IS NULL,
                duration_ns DESC, start_unix_ns, status, name, output_tokens DESC, input_tokens DESC
        ) AS duplicate_rank
    FROM close_spans
    INNER JOIN intricate_traces ON close_spans.trace_id = intricate_traces.trace_id
) AS ranked
WHERE ranked.duplicate_rank = 1
