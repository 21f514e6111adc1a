-- What may differ between the arms other than the model: how many traces have which value of each factor.
-- evaluator_versions counts judgements, tool_versions versions: a trace has one for each evaluator that judged it, and for
-- each version of a tool or retriever that it called. cost_sources and unpriced_models tell whether costs compare.
-- grain: cohort_name, arm_name, factor, factor_value   params: none   reads: question_traces, trace_evaluations
WITH factors AS (
    SELECT cohort_name, arm_name, 'conventions' AS factor, array_to_string(conventions, '+') AS factor_value
    FROM question_traces
    UNION ALL
    SELECT cohort_name, arm_name, 'step_sources', step_source
    FROM question_traces
    UNION ALL
    SELECT cohort_name, arm_name, 'releases', release
    FROM question_traces
    UNION ALL
    SELECT cohort_name, arm_name, 'prompts', prompt
    FROM question_traces
    UNION ALL
    SELECT cohort_name, arm_name, 'routes', route
    FROM question_traces
    UNION ALL
    SELECT cohort_name, arm_name, 'environments', environment
    FROM question_traces
    UNION ALL
    SELECT cohort_name, arm_name, 'cost_sources', cost_source
    FROM question_traces
    UNION ALL
    SELECT cohort_name, arm_name, 'unpriced_models', unnest(unpriced_models)
    FROM question_traces
    WHERE unpriced_models IS NOT NULL
    UNION ALL
    SELECT cohort_name, arm_name, 'tool_versions', unnest(tool_versions)
    FROM question_traces
    WHERE tool_versions IS NOT NULL
    UNION ALL
    SELECT
        question_traces.cohort_name,
        question_traces.arm_name,
        'evaluator_versions',
        concat(trace_evaluations.evaluator, '@', trace_evaluations.version)
    FROM question_traces
    INNER JOIN trace_evaluations ON question_traces.trace_id = trace_evaluations.trace_id
)
SELECT cohort_name, arm_name, factor, coalesce(factor_value, '(none)') AS factor_value, count(*) AS traces
FROM factors
GROUP BY cohort_name, arm_name, factor, coalesce(factor_value, '(none)')
ORDER BY cohort_name, arm_name, factor, coalesce(factor_value, '(none)')
