-- The combinations of conventions and instrumentation scopes of model calls, as in contexts_v1.
-- grain: call_key   params: none   reads: landing_spans
SELECT call_key, any_value(convention) AS convention, any_value(scope_name) AS scope_name
FROM (
    SELECT said.*, hash(convention, scope_name) AS call_key
    FROM (SELECT DISTINCT convention, scope_name FROM landing_spans WHERE kind = 'llm') AS said
) AS combinations
GROUP BY call_key
HAVING count(*) = 1
