-- Everything that a question may tell traces apart by, once for each combination that occurs.
-- grain: rollup_key   params: none   reads: new_facts
SELECT DISTINCT
    rollup_key,
    models,
    cohort,
    route,
    release,
    variant,
    prompt,
    service_name,
    environment,
    conventions,
    instrumentation,
    step_source,
    retry_source,
    fallback_source,
    llm_calls > 0 AS has_llm_calls,
    pair_id IS NOT NULL AS has_pair_id,
    cost_source,
    unpriced_models,
    dimensions
FROM new_facts
WHERE rollup_key IS NOT NULL
ORDER BY rollup_key
