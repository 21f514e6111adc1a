-- Digests of the traces that new rows speak of, as in fact_keys_v2, with what stands in place of a trace (dirty_traces_v1).
-- grain: trace_id   params: none   reads: new_spans, new_evaluations
SELECT coalesce(
    TRY_CAST(concat('0x', substr(trace_id, 18, 15)) AS BIGINT), CAST(md5_number_lower(trace_id) >> 1 AS BIGINT)
) AS trace_key
FROM (
    SELECT trace_id FROM new_spans
    UNION
    SELECT coalesce(trace_id, concat('response ', response_id)) FROM new_evaluations
) AS named
