-- The judgements of a lake of which nothing was derived yet, as far as deriving looks at them.
-- grain: trace_id   params: none   reads: none
SELECT
    CAST(NULL AS BIGINT) AS revision,
    CAST(NULL AS VARCHAR) AS trace_id,
    CAST(NULL AS VARCHAR) AS response_id,
    CAST(NULL AS BOOLEAN) AS is_by_response
WHERE FALSE
