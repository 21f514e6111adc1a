-- Calls that two instrumentations tell, neither of which makes its span the parent of the other's: a framework's beside
-- a provider's. Each row places the inner one below the outer one, so that both count as one call.
-- Both are of one kind and model, and ended alike, with the same input where both know it; the inner one begins while the
-- outer one lasts, and no deeper than it. Equal calls beside each other are matched in the order of their starts.
-- Calls that stand below another one already, and those with one of another instrumentation below them, have no need.
-- grain: trace_id, span_id   params: none   reads: delivered_spans
WITH RECURSIVE told AS (
    SELECT
        delivered_spans.trace_id,
        delivered_spans.span_id,
        delivered_spans.parent_span_id,
        delivered_spans.scope_name,
        delivered_spans.kind,
        delivered_spans.model,
        delivered_spans.status = 'error' AS has_failed,
        coalesce(delivered_spans.input_tokens, -1) AS input_tokens,
        delivered_spans.start_unix_ns,
        delivered_spans.start_unix_ns + delivered_spans.duration_ns AS end_unix_ns
    FROM delivered_spans
    INNER JOIN (
        SELECT trace_id
        FROM delivered_spans
        WHERE kind IN ('llm', 'embedding')
        GROUP BY trace_id
        HAVING min(scope_name) != max(scope_name)
    ) AS mixed ON delivered_spans.trace_id = mixed.trace_id
    WHERE delivered_spans.kind IN ('llm', 'embedding') AND delivered_spans.scope_name IS NOT NULL
),
above (trace_id, span_id, above_id, depth) AS (
    SELECT trace_id, span_id, parent_span_id, 1
    FROM told
    WHERE parent_span_id IS NOT NULL
    UNION ALL
    SELECT above.trace_id, above.span_id, delivered_spans.parent_span_id, above.depth + 1
    FROM above
    INNER JOIN delivered_spans
        ON above.trace_id = delivered_spans.trace_id AND above.above_id = delivered_spans.span_id
    WHERE delivered_spans.parent_span_id IS NOT NULL AND above.depth < 32 -- a cycle of parents must end
),
nested AS (
    SELECT
        above.trace_id,
        above.span_id AS inner_id,
        CASE WHEN inner_ones.scope_name != outer_ones.scope_name THEN outer_ones.span_id END AS outer_id
    FROM above
    INNER JOIN told AS inner_ones ON above.trace_id = inner_ones.trace_id AND above.span_id = inner_ones.span_id
    INNER JOIN told AS outer_ones ON above.trace_id = outer_ones.trace_id AND above.above_id = outer_ones.span_id
),
ranked AS (
    SELECT
        told.*,
        row_number() OVER (
            PARTITION BY told.trace_id, told.scope_name, told.kind, told.model, told.has_failed, told.input_tokens
            ORDER BY told.start_unix_ns, told.span_id
        ) AS place
    FROM told
    LEFT JOIN (
        SELECT trace_id, inner_id AS span_id FROM nested
        UNION
        SELECT trace_id, outer_id AS span_id FROM nested WHERE outer_id IS NOT NULL
    ) AS settled ON told.trace_id = settled.trace_id AND told.span_id = settled.span_id
    WHERE settled.span_id IS NULL
)
SELECT trace_id, span_id, outer_id AS parent_span_id
FROM (
    SELECT
        within.trace_id,
        within.span_id,
        around.span_id AS outer_id,
        row_number() OVER (
            PARTITION BY within.trace_id, within.span_id ORDER BY around.start_unix_ns DESC, around.span_id
        ) AS nearness
    FROM ranked AS within
    INNER JOIN ranked AS around
        ON within.trace_id = around.trace_id
        AND within.kind = around.kind
        AND within.model = around.model
        AND within.has_failed = around.has_failed
        AND within.input_tokens = around.input_tokens
        AND within.place = around.place
        AND within.scope_name != around.scope_name
        AND within.start_unix_ns <= around.end_unix_ns
        AND (
            within.start_unix_ns > around.start_unix_ns
            OR (
                within.start_unix_ns = around.start_unix_ns
                AND (within.end_unix_ns < around.end_unix_ns
                    OR (within.end_unix_ns = around.end_unix_ns AND within.span_id > around.span_id))
            )
        )
    LEFT JOIN above
        ON around.trace_id = above.trace_id
        AND around.span_id = above.span_id
        AND within.parent_span_id = above.above_id
    WHERE within.parent_span_id IS NULL OR above.span_id IS NOT NULL
) AS matched
WHERE nearness = 1
