-- The values of cohort dimensions where none is declared.
-- grain: trace_id   params: none   reads: none
SELECT CAST(NULL AS VARCHAR) AS trace_id, CAST(NULL AS MAP(VARCHAR, VARCHAR)) AS dimensions
WHERE FALSE
