-- What happened at each place of the trajectories: by step, agent, tool and kind of span.
--   step     as the application or its framework numbers it; a span without number is of the last one begun before it;
--            in a trace without numbers, the ordinal of its model and tool calls (step_source derived)
--   agent    the span's own, else that of the nearest span above it that names one
--   problem  an error, a tool error, a repeated call (a tool called before with the same arguments), or a failed
--            evaluation of the span
--   retries  of the model calls there: a resend that is a span of its own counts where it is, others where their call began;
--            null where nothing would show one (calls_v1)
--   repeated_calls  null where no arguments of a tool call are known
--   first_problems  failed traces whose first problem was there; failed_traces of the arm and cohort beside it
-- grain: dimension, place, step_source, arm_name, cohort_name   params: none
-- reads: spans, priced_spans, attempts, calls, evaluations, compared_traces
WITH RECURSIVE climbing (trace_id, span_id, agent_name, above_id) AS (
    SELECT trace_id, span_id, agent_name, parent_span_id
    FROM spans
    WHERE kind IN ('llm', 'tool')
    UNION
    SELECT climbing.trace_id, climbing.span_id, spans.agent_name, spans.parent_span_id
    FROM climbing
    INNER JOIN spans ON climbing.trace_id = spans.trace_id AND climbing.above_id = spans.span_id
    WHERE climbing.agent_name IS NULL
),
acting AS (
    SELECT trace_id, span_id, agent_name
    FROM climbing
    WHERE agent_name IS NOT NULL
),
resent AS (
    SELECT
        attempts.trace_id,
        attempts.span_id,
        attempts.call_id,
        attempts.link = 'retry' AS is_resend,
        calls.retries,
        count(*) FILTER (WHERE attempts.link = 'retry') OVER (
            PARTITION BY attempts.trace_id, attempts.call_id ORDER BY attempts.attempt_number
        ) AS resends_so_far,
        count(*) FILTER (WHERE attempts.link = 'retry') OVER (PARTITION BY attempts.trace_id, attempts.call_id) AS resends
    FROM attempts
    INNER JOIN calls ON attempts.trace_id = calls.trace_id AND attempts.call_id = calls.call_id
),
retried AS (
    SELECT
        trace_id,
        span_id,
        CASE WHEN is_resend AND resends_so_far <= retries THEN 1 ELSE 0 END
        + CASE WHEN span_id = call_id THEN greatest(retries - resends, 0) ELSE 0 END AS retries
    FROM resent
    WHERE retries IS NOT NULL
),
acted AS (
    SELECT
        spans.trace_id,
        spans.span_id,
        spans.kind,
        acting.agent_name,
        spans.tool_name,
        spans.start_unix_ns,
        spans.duration_ns,
        spans.input_tokens,
        spans.output_tokens,
        priced_spans.cost_nano_usd,
        spans.status = 'error' AS has_error,
        retried.retries,
        CASE WHEN spans.kind = 'tool' AND spans.tool_arguments_hash IS NOT NULL THEN row_number() OVER (
            PARTITION BY spans.trace_id, spans.kind, spans.tool_name, spans.tool_arguments_hash
            ORDER BY spans.start_unix_ns, spans.span_id
        ) > 1 END AS is_repeated,
        spans.span_id IN (
            SELECT evaluations.span_id
            FROM evaluations
            WHERE evaluations.trace_id = spans.trace_id AND NOT evaluations.passed AND evaluations.span_id IS NOT NULL
        ) AS is_judged_failed
    FROM spans
    LEFT JOIN retried ON spans.trace_id = retried.trace_id AND spans.span_id = retried.span_id
    LEFT JOIN acting ON spans.trace_id = acting.trace_id AND spans.span_id = acting.span_id
    LEFT JOIN priced_spans ON spans.trace_id = priced_spans.trace_id AND spans.span_id = priced_spans.span_id
    WHERE spans.kind IN ('llm', 'tool')
),
numbered AS (
    SELECT trace_id, span_id, start_unix_ns, step, step_source
    FROM spans
    WHERE step IS NOT NULL
),
stepped AS (
    SELECT
        acted.*,
        CASE WHEN counted.trace_id IS NULL
            THEN row_number() OVER (PARTITION BY acted.trace_id ORDER BY acted.start_unix_ns, acted.span_id)
            ELSE begun.step END AS step,
        CASE WHEN counted.trace_id IS NULL THEN 'derived' ELSE coalesce(begun.step_source, 'attribute') END
            AS step_source
    FROM acted
    LEFT JOIN (SELECT DISTINCT trace_id FROM numbered) AS counted ON acted.trace_id = counted.trace_id
    LEFT JOIN (
        SELECT
            acted.trace_id,
            acted.span_id,
            max_by(numbered.step, (numbered.start_unix_ns, numbered.span_id)) AS step,
            max_by(numbered.step_source, (numbered.start_unix_ns, numbered.span_id)) AS step_source
        FROM acted
        INNER JOIN numbered
            ON acted.trace_id = numbered.trace_id AND numbered.start_unix_ns <= acted.start_unix_ns
        GROUP BY acted.trace_id, acted.span_id
    ) AS begun ON acted.trace_id = begun.trace_id AND acted.span_id = begun.span_id
),
judged AS (
    SELECT
        stepped.*,
        compared_traces.arm_name,
        compared_traces.cohort_name,
        compared_traces.is_failed
        AND (has_error OR coalesce(is_repeated, FALSE) OR is_judged_failed)
        AND row_number() OVER (
            PARTITION BY stepped.trace_id
            ORDER BY
                has_error OR coalesce(is_repeated, FALSE) OR is_judged_failed DESC,
                stepped.start_unix_ns,
                stepped.span_id
        ) = 1 AS is_first_problem
    FROM stepped
    INNER JOIN compared_traces ON stepped.trace_id = compared_traces.trace_id
),
placed AS (
    SELECT 'step' AS dimension, CAST(step AS VARCHAR) AS place, judged.*
    FROM judged
    UNION ALL
    SELECT 'agent', agent_name, judged.*
    FROM judged
    UNION ALL
    SELECT 'tool', tool_name, judged.*
    FROM judged
    WHERE kind = 'tool'
    UNION ALL
    SELECT 'kind', kind, judged.*
    FROM judged
),
totals AS (
    SELECT arm_name, cohort_name, count(*) AS traces, count(*) FILTER (WHERE is_failed) AS failed_traces
    FROM compared_traces
    GROUP BY arm_name, cohort_name
)
SELECT
    placed.dimension,
    coalesce(placed.place, '(none)') AS place,
    CASE WHEN placed.dimension = 'step' THEN placed.step_source END AS step_source,
    placed.arm_name,
    placed.cohort_name,
    max(totals.traces) AS arm_traces,
    max(totals.failed_traces) AS failed_traces,
    count(DISTINCT placed.trace_id) AS traces,
    count(*) AS calls,
    count(*) FILTER (WHERE placed.has_error) AS errors,
    CAST(sum(placed.retries) AS BIGINT) AS retries,
    CAST(sum(CAST(placed.is_repeated AS INTEGER)) AS BIGINT) AS repeated_calls,
    CAST(least(sum(placed.duration_ns), 9000000000000000000) AS BIGINT) AS duration_ns,
    CAST(sum(placed.input_tokens) AS BIGINT) AS input_tokens,
    CAST(sum(placed.output_tokens) AS BIGINT) AS output_tokens,
    CASE WHEN count(placed.cost_nano_usd) = count(coalesce(placed.input_tokens, placed.output_tokens))
        THEN CASE WHEN sum(placed.cost_nano_usd) > 9000000000000000000 THEN 9000000000000000000
            ELSE CAST(sum(placed.cost_nano_usd) AS BIGINT) END END AS cost_nano_usd,
    count(*) FILTER (WHERE placed.is_first_problem) AS first_problems
FROM placed
INNER JOIN totals ON placed.arm_name = totals.arm_name AND placed.cohort_name = totals.cohort_name
GROUP BY
    placed.dimension, coalesce(placed.place, '(none)'), CASE WHEN placed.dimension = 'step' THEN placed.step_source END,
    placed.arm_name, placed.cohort_name
ORDER BY placed.dimension, coalesce(placed.place, '(none)'), step_source, placed.arm_name, placed.cohort_name
