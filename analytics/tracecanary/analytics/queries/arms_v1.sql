-- Every arm that any stored trace has asked for, most used first.
-- grain: arm_name   params: $arm_by VARCHAR   reads: rollup_keys, rollup_hours
SELECT named.arm_name, CAST(sum(named.traces) AS BIGINT) AS traces
FROM (
    SELECT
        CASE $arm_by
            WHEN 'model' THEN rollup_keys.models[1]
            WHEN 'variant' THEN rollup_keys.variant
            WHEN 'release' THEN rollup_keys.release
            WHEN 'prompt' THEN rollup_keys.prompt
        END AS arm_name,
        rollup_hours.traces
    FROM rollup_hours
    INNER JOIN rollup_keys ON rollup_hours.rollup_key = rollup_keys.rollup_key
) AS named
WHERE named.arm_name IS NOT NULL
GROUP BY named.arm_name
HAVING sum(named.traces) > 0
ORDER BY traces DESC, named.arm_name
