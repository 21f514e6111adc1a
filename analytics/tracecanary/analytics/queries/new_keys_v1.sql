-- Digests of the traces that new rows speak of, as in fact_keys_v1, with what stands in place of a trace (dirty_traces_v1).
-- grain: trace_id   params: none   reads: new_spans, new_evaluations
SELECT CAST(md5_number_lower(trace_id) >> 1 AS BIGINT) AS trace_key
FROM (
    SELECT trace_id FROM new_spans
    UNION
    SELECT coalesce(trace_id, concat('response ', response_id)) FROM new_evaluations
) AS named
