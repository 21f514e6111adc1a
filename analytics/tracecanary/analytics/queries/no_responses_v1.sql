-- The spans with a gen_ai.response.id of a lake of which nothing was derived yet.
-- grain: trace_id, span_id   params: none   reads: none
SELECT
    CAST(NULL AS BIGINT) AS revision,
    CAST(NULL AS VARCHAR) AS trace_id,
    CAST(NULL AS VARCHAR) AS span_id,
    CAST(NULL AS VARCHAR) AS response_id,
    CAST(NULL AS BIGINT) AS start_unix_ns
WHERE FALSE
