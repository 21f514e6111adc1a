-- The traces a question is about, each with the names of its arm and cohort.
-- grain: trace_id
-- params: $arm_by VARCHAR; $arms, $cohort_by, $cohorts, $routes VARCHAR[] (an empty list of arms, cohorts or routes
--         selects all; '(none)' is the name of what has no cohort or route); $from_ns, $to_ns BIGINT (from inclusive, to exclusive)
--         $pairs VARCHAR: all traces, those with a pair id, or those without one
-- can_show_retries, can_show_fallbacks: whether one would be seen, had it happened. What shows it in one trace is taken
-- to show it in others of the question, as far as the source goes: HTTP requests only those of their own trace; what
-- an instrumentation or application states, the traces of the same instrumentation; failed attempts as spans of their
-- own, all traces with model calls.
-- reads: trace_facts
SELECT
    named.*,
    named.retry_source != 'none'
    OR coalesce(
        bool_or(named.retry_source = 'attribute' AND named.retries > 0) OVER (PARTITION BY named.instrumentation), FALSE
    )
    OR (named.llm_calls > 0 AND bool_or(named.retry_source = 'siblings') OVER ()) AS can_show_retries,
    named.fallback_source != 'none'
    OR coalesce(
        bool_or(named.fallback_source = 'attribute' AND named.is_fallback) OVER (PARTITION BY named.instrumentation), FALSE
    )
    OR (named.llm_calls > 0 AND bool_or(named.fallback_source = 'siblings') OVER ()) AS can_show_fallbacks
FROM (
    SELECT
        trace_facts.*,
        CASE $arm_by
            WHEN 'model' THEN trace_facts.model
            WHEN 'variant' THEN trace_facts.variant
            WHEN 'release' THEN trace_facts.release
            WHEN 'prompt' THEN trace_facts.prompt
        END AS arm_name,
        array_to_string([
            -- A part of several that holds the separator gets it doubled, so that two cohorts never share a name.
            replace(coalesce(CASE dimension
                WHEN 'cohort' THEN trace_facts.cohort
                WHEN 'route' THEN trace_facts.route
                WHEN 'service' THEN trace_facts.service_name
                WHEN 'environment' THEN trace_facts.environment
                WHEN 'release' THEN trace_facts.release
                WHEN 'prompt' THEN trace_facts.prompt
                ELSE trace_facts.dimensions[dimension]
            END, '(none)'), ' / ', CASE WHEN len($cohort_by) > 1 THEN ' // ' ELSE ' / ' END)
            FOR dimension IN $cohort_by
        ], ' / ') AS cohort_name
    FROM trace_facts
    WHERE trace_facts.start_unix_ns >= $from_ns AND trace_facts.start_unix_ns < $to_ns
) AS named
WHERE
    named.arm_name IS NOT NULL
    AND (len($arms) = 0 OR list_contains($arms, named.arm_name))
    AND (len($cohorts) = 0 OR list_contains($cohorts, named.cohort_name))
    AND (len($routes) = 0 OR list_contains($routes, coalesce(named.route, '(none)')))
    AND ($pairs = 'all' OR (named.pair_id IS NOT NULL) = ($pairs = 'with'))
