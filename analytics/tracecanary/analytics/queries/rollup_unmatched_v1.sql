-- How many judgements belong to no trace in which a model was asked: those that wait for theirs, and those with a wrong
-- trace id. One row.
-- grain: one row   params: none   reads: new_facts, old_facts, new_judgements, old_judgements
SELECT CAST(coalesce(sum(changes.sign), 0) AS BIGINT) AS unmatched
FROM (
    SELECT DISTINCT
        judged.sign,
        judged.trace_id,
        coalesce(judged.span_id, '') AS span_id,
        judged.name,
        judged.version,
        judged.source
    FROM (
        SELECT 1 AS sign, new_judgements.*
        FROM new_judgements
        UNION ALL BY NAME
        SELECT -1 AS sign, old_judgements.*
        FROM old_judgements
    ) AS judged
    INNER JOIN (
        SELECT 1 AS sign, trace_id
        FROM new_facts
        WHERE rollup_key IS NULL
        UNION ALL
        SELECT -1, trace_id
        FROM old_facts
        WHERE rollup_key IS NULL
    ) AS waiting
        ON judged.sign = waiting.sign AND judged.trace_id = waiting.trace_id
) AS changes
