-- One row per cohort of the question's dimensions; from whole hours where facts have expired.
-- grain: cohort_name   params: $from_ns, $to_ns BIGINT (from inclusive, to exclusive)
-- reads: question_keys, live_facts, rollup_hours, expiry
SELECT
    question_keys.cohort_name,
    CAST(sum(counted.traces) AS BIGINT) AS traces,
    min(counted.first_unix_ns) AS first_seen_unix_ns,
    max(counted.last_unix_ns) AS last_seen_unix_ns
FROM (
    SELECT
        rollup_key,
        count(*) AS traces,
        min(start_unix_ns) AS first_unix_ns,
        max(start_unix_ns) AS last_unix_ns
    FROM live_facts
    WHERE rollup_key IS NOT NULL AND start_unix_ns >= $from_ns AND start_unix_ns < $to_ns
    GROUP BY rollup_key
    UNION ALL
    SELECT
        rollup_hours.rollup_key,
        sum(rollup_hours.traces),
        min(rollup_hours.hour_unix_ns),
        max(rollup_hours.hour_unix_ns)
    FROM rollup_hours
    INNER JOIN expiry ON rollup_hours.hour_unix_ns < expiry.facts_from_ns
    WHERE rollup_hours.hour_unix_ns >= $from_ns AND rollup_hours.hour_unix_ns < $to_ns AND rollup_hours.traces > 0
    GROUP BY rollup_hours.rollup_key
) AS counted
INNER JOIN question_keys ON counted.rollup_key = question_keys.rollup_key
GROUP BY question_keys.cohort_name
ORDER BY question_keys.cohort_name
