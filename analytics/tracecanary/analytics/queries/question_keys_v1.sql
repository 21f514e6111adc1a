-- The rollup keys of the traces that a question is about, each with the names of its arm and cohort.
-- grain: rollup_key
-- params: $arm_by, $pairs VARCHAR; $arms, $cohort_by, $cohorts, $routes VARCHAR[], as in question_traces_v1
-- reads: rollup_keys
SELECT named.*
FROM (
    SELECT
        rollup_keys.*,
        CASE $arm_by
            WHEN 'model' THEN rollup_keys.models[1]
            WHEN 'variant' THEN rollup_keys.variant
            WHEN 'release' THEN rollup_keys.release
            WHEN 'prompt' THEN rollup_keys.prompt
        END AS arm_name,
        array_to_string([
            -- A part of several that holds the separator gets it doubled, so that two cohorts never share a name.
            replace(coalesce(CASE dimension
                WHEN 'cohort' THEN rollup_keys.cohort
                WHEN 'route' THEN rollup_keys.route
                WHEN 'service' THEN rollup_keys.service_name
                WHEN 'environment' THEN rollup_keys.environment
                WHEN 'release' THEN rollup_keys.release
                WHEN 'prompt' THEN rollup_keys.prompt
                ELSE rollup_keys.dimensions[dimension]
            END, '(none)'), ' / ', CASE WHEN len($cohort_by) > 1 THEN ' // ' ELSE ' / ' END)
            FOR dimension IN $cohort_by
        ], ' / ') AS cohort_name
    FROM rollup_keys
) AS named
WHERE
    named.arm_name IS NOT NULL
    AND (len($arms) = 0 OR list_contains($arms, named.arm_name))
    AND (len($cohorts) = 0 OR list_contains($cohorts, named.cohort_name))
    AND (len($routes) = 0 OR list_contains($routes, coalesce(named.route, '(none)')))
    AND ($pairs = 'all' OR named.has_pair_id = ($pairs = 'with'))
