-- The values of own metrics where none is declared.
-- grain: trace_id   params: none   reads: none
SELECT CAST(NULL AS VARCHAR) AS trace_id, CAST(NULL AS MAP(VARCHAR, BIGINT)) AS measures
WHERE FALSE
