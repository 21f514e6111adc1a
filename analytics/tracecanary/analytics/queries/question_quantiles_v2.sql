-- Exact quantiles of latency (in s) by arm and cohort, and by arm over all cohorts (cohort null): what is shown while the
-- values are at hand.
-- grain: cohort, arm   params: $from_ns, $to_ns BIGINT (from inclusive, to exclusive)   reads: question_keys, live_facts
SELECT
    question_keys.cohort_name AS cohort,
    question_keys.arm_name AS arm,
    'latency' AS metric,
    count(*) AS n,
    quantile_cont(live_facts.duration_ns / 1e9, 0.5) AS p50,
    quantile_cont(live_facts.duration_ns / 1e9, 0.95) AS p95,
    quantile_cont(live_facts.duration_ns / 1e9, 0.99) AS p99
FROM live_facts
INNER JOIN question_keys ON live_facts.rollup_key = question_keys.rollup_key
WHERE live_facts.start_unix_ns >= $from_ns AND live_facts.start_unix_ns < $to_ns
GROUP BY GROUPING SETS ((question_keys.cohort_name, question_keys.arm_name), (question_keys.arm_name))
ORDER BY cohort, arm
