-- The values of the declared cohort dimensions of each trace, by name: of the root, else of the earliest span that has one.
-- A trace without any has no row. Most traces say the same on every span; only where they don't spans are compared.
-- grain: trace_id   params: none   reads: all_spans, declared_dimensions
WITH said AS (
    SELECT
        all_spans.trace_id,
        all_spans.span_id,
        all_spans.parent_span_id,
        all_spans.start_unix_ns,
        declared_dimensions.name,
        all_spans.attributes[declared_dimensions.stored_as] AS value
    FROM all_spans
    CROSS JOIN declared_dimensions
),
told AS (
    SELECT trace_id, name, min(value) AS value, min(value) != max(value) AS is_uneven
    FROM said
    WHERE value IS NOT NULL
    GROUP BY trace_id, name
),
uneven AS (
    SELECT
        said.trace_id,
        said.name,
        min_by(said.value, (said.parent_span_id IS NOT NULL, said.start_unix_ns, said.span_id)) AS value
    FROM said
    INNER JOIN told ON said.trace_id = told.trace_id AND said.name = told.name
    WHERE told.is_uneven AND said.value IS NOT NULL
    GROUP BY said.trace_id, said.name
)
SELECT
    told.trace_id,
    map(
        list(told.name ORDER BY told.name),
        list(CASE WHEN told.is_uneven THEN uneven.value ELSE told.value END ORDER BY told.name)
    ) AS dimensions
FROM told
LEFT JOIN uneven ON told.trace_id = uneven.trace_id AND told.name = uneven.name
GROUP BY told.trace_id
