-- How many judgements belong to no stored trace: those that wait for theirs, and those with a wrong trace id.
-- grain: one row   params: none   reads: evaluations, trace_facts
SELECT count(*) AS unmatched
FROM evaluations
LEFT JOIN trace_facts ON evaluations.trace_id = trace_facts.trace_id
WHERE trace_facts.trace_id IS NULL
