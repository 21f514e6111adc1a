-- The values of the declared own metrics of each trace, by name, in millionths. A trace that does not state one lacks its
-- name; one that states nothing usable has null: a text, or a number beyond 0..10,000,000.
--   true and false are 1 and 0. Sums end at 10,000,000. A rate is 0 or 1 of them: whether the value taken is not 0, or is 0
--   where that is worse.
-- grain: trace_id   params: none   reads: all_spans, declared_measures
WITH said AS (
    SELECT
        all_spans.trace_id,
        all_spans.span_id,
        all_spans.start_unix_ns,
        declared_measures.name,
        declared_measures.take,
        declared_measures.kind,
        declared_measures.is_lower_worse,
        CASE lower(all_spans.attributes[declared_measures.attribute]) WHEN 'true' THEN 1.0 WHEN 'false' THEN 0.0
            ELSE TRY_CAST(all_spans.attributes[declared_measures.attribute] AS DOUBLE) END AS value
    FROM all_spans
    CROSS JOIN declared_measures
    WHERE all_spans.attributes[declared_measures.attribute] IS NOT NULL
),
usable AS (
    SELECT
        said.* EXCLUDE (value),
        CASE WHEN value >= 0 AND value <= 10000000 THEN CAST(round(value * 1000000) AS HUGEINT) END AS millionths
    FROM said
),
taken AS (
    SELECT
        trace_id,
        name,
        kind,
        is_lower_worse,
        CASE take
            WHEN 'sum' THEN CASE WHEN sum(millionths) > 10000000000000 THEN 10000000000000 ELSE sum(millionths) END
            WHEN 'min' THEN min(millionths)
            WHEN 'last' THEN max_by(millionths, (start_unix_ns, span_id)) FILTER (WHERE millionths IS NOT NULL)
            ELSE max(millionths)
        END AS millionths
    FROM usable
    GROUP BY trace_id, name, kind, take, is_lower_worse
),
measured AS (
    SELECT
        trace_id,
        name,
        CAST(CASE
            WHEN millionths IS NULL THEN NULL
            WHEN kind != 'rate' THEN millionths
            WHEN (millionths != 0) != is_lower_worse THEN 1000000
            ELSE 0
        END AS BIGINT) AS millionths
    FROM taken
)
SELECT trace_id, map(list(name ORDER BY name), list(millionths ORDER BY name)) AS measures
FROM measured
GROUP BY trace_id
