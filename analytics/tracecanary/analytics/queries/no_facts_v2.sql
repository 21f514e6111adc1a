-- The facts of a lake of which nothing was derived yet, as far as deriving looks at them.
-- grain: trace_id   params: none   reads: none
SELECT
    CAST(NULL AS BIGINT) AS revision,
    CAST(NULL AS VARCHAR) AS trace_id,
    CAST(NULL AS BIGINT) AS first_span_ns,
    CAST(NULL AS BIGINT) AS last_span_ns,
    CAST(NULL AS BIGINT) AS rollup_key,
    NULL AS outcomes,
    CAST(NULL AS BOOLEAN) AS is_thumbs_down,
    CAST(NULL AS BOOLEAN) AS is_escalated
WHERE FALSE
