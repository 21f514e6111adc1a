-- What is superseded in a lake of which nothing was derived yet.
-- grain: trace_id   params: none   reads: none
SELECT CAST(NULL AS VARCHAR) AS trace_id, CAST(NULL AS BIGINT) AS revision
WHERE FALSE
