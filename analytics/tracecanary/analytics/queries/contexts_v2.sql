-- The combinations of what spans say of their surroundings: few, however many spans there are, so that a trace whose spans
-- agree finds its own by one number. A number that two combinations share stands for none: digests may collide.
-- grain: context_key   params: none   reads: landing_spans
SELECT
    context_key,
    any_value(cohort) AS cohort,
    any_value(route) AS route,
    any_value(release) AS release,
    any_value(variant) AS variant,
    any_value(prompt_name) AS prompt_name,
    any_value(prompt_version) AS prompt_version,
    any_value(service_name) AS service_name,
    any_value(environment) AS environment
FROM (
    SELECT
        said.*,
        hash(cohort, route, release, variant, prompt_name, prompt_version, service_name, environment) AS context_key
    FROM (
        SELECT cohort, route, release, variant, prompt_name, prompt_version, service_name, environment
        FROM landing_spans
        GROUP BY cohort, route, release, variant, prompt_name, prompt_version, service_name, environment
    ) AS said
) AS combinations
GROUP BY context_key
HAVING count(*) = 1
