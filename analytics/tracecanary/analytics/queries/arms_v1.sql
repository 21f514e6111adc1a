-- Every arm that any stored trace has asked for, most used first.
-- grain: arm_name   params: $arm_by VARCHAR   reads: trace_facts
SELECT named.arm_name, count(*) AS traces
FROM (
    SELECT
        CASE $arm_by
            WHEN 'model' THEN model
            WHEN 'variant' THEN variant
            WHEN 'release' THEN release
            WHEN 'prompt' THEN prompt
        END AS arm_name
    FROM trace_facts
) AS named
WHERE named.arm_name IS NOT NULL
GROUP BY named.arm_name
ORDER BY traces DESC, named.arm_name
