-- The judgements of a lake of which nothing was derived yet.
-- grain: trace_id   params: none   reads: none
SELECT CAST(NULL AS BIGINT) AS revision, CAST(NULL AS VARCHAR) AS trace_id
WHERE FALSE
