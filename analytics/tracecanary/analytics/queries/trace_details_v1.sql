-- What few traces have, and only single spans of theirs say; the others have no row.
--   numbered_steps, framework_steps  distinct steps that the application or its framework numbers
--   repeated_tool_calls  tool calls with the name and arguments of another one of the trace, but for the first
--   tool_versions  name@version of the tools and retrievers that state one, each once; a retriever without a name is 'retriever'
--   missing_parents  spans that others name as their parent and that are not there
--   time_to_first_token_ns  of the earliest call that states it, from its own start
--   error_class  of the earliest span that failed
-- grain: trace_id   params: none   reads: all_spans, landing_spans, trace_outlines
WITH stepped AS (
    SELECT
        trace_id,
        count(DISTINCT step) FILTER (WHERE step_source IS DISTINCT FROM 'framework') AS numbered_steps,
        count(DISTINCT step) FILTER (WHERE step_source = 'framework') AS framework_steps
    FROM all_spans
    WHERE step IS NOT NULL
    GROUP BY trace_id
),
repeated AS (
    SELECT trace_id, CAST(sum(calls - 1) AS BIGINT) AS repeated_tool_calls
    FROM (
        SELECT all_spans.trace_id, all_spans.tool_name, all_spans.tool_arguments_hash, count(*) AS calls
        FROM all_spans
        INNER JOIN trace_outlines ON all_spans.trace_id = trace_outlines.trace_id
        WHERE
            all_spans.kind = 'tool'
            AND all_spans.tool_arguments_hash IS NOT NULL
            AND trace_outlines.different_tool_calls < trace_outlines.tool_calls_with_arguments
        GROUP BY all_spans.trace_id, all_spans.tool_name, all_spans.tool_arguments_hash
    ) AS tool_calls
    GROUP BY trace_id
),
equipped AS (
    SELECT trace_id, list(tool_version ORDER BY tool_version) AS tool_versions
    FROM (
        SELECT DISTINCT trace_id, concat(coalesce(tool_name, kind), '@', tool_version) AS tool_version
        FROM all_spans
        WHERE tool_version IS NOT NULL AND kind IN ('tool', 'retriever')
    ) AS versions
    GROUP BY trace_id
),
linked AS (
    SELECT landing_spans.trace_id, landing_spans.span_id, landing_spans.parent_span_id
    FROM landing_spans
    INNER JOIN trace_outlines ON landing_spans.trace_id = trace_outlines.trace_id
    WHERE trace_outlines.may_be_torn
),
torn AS (
    SELECT below.trace_id, count(DISTINCT below.parent_span_id) AS missing_parents
    FROM linked AS below
    LEFT JOIN linked AS upper ON below.trace_id = upper.trace_id AND below.parent_span_id = upper.span_id
    WHERE below.parent_span_id IS NOT NULL AND upper.span_id IS NULL
    GROUP BY below.trace_id
),
started AS (
    SELECT trace_id, min_by(time_to_first_token_ns, (start_unix_ns, span_id)) AS time_to_first_token_ns
    FROM all_spans
    WHERE time_to_first_token_ns IS NOT NULL
    GROUP BY trace_id
),
failed AS (
    SELECT trace_id, min_by(error_class, (start_unix_ns, span_id)) AS error_class
    FROM all_spans
    WHERE status = 'error' AND error_class IS NOT NULL
    GROUP BY trace_id
)
SELECT
    trace_id,
    max(numbered_steps) AS numbered_steps,
    max(framework_steps) AS framework_steps,
    max(repeated_tool_calls) AS repeated_tool_calls,
    max(tool_versions) AS tool_versions,
    max(missing_parents) AS missing_parents,
    max(time_to_first_token_ns) AS time_to_first_token_ns,
    max(error_class) AS error_class
FROM (
    SELECT stepped.* FROM stepped
    UNION ALL BY NAME
    SELECT repeated.* FROM repeated
    UNION ALL BY NAME
    SELECT equipped.* FROM equipped
    UNION ALL BY NAME
    SELECT torn.* FROM torn
    UNION ALL BY NAME
    SELECT started.* FROM started
    UNION ALL BY NAME
    SELECT failed.* FROM failed
) AS details
GROUP BY trace_id
