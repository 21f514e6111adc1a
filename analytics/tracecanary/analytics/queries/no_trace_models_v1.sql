-- What is known of models in a lake of which nothing was derived yet.
-- grain: trace_id, model   params: none   reads: none
SELECT CAST(NULL AS BIGINT) AS revision, CAST(NULL AS VARCHAR) AS trace_id, CAST(NULL AS VARCHAR) AS model
WHERE FALSE
