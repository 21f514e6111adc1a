-- Traces of each arm by hour: what the periods of constant traffic split are found from.
-- grain: hour_unix_ns, arm_name   params: none   reads: question_traces
SELECT
    start_unix_ns - start_unix_ns % 3600000000000 AS hour_unix_ns,
    arm_name,
    count(*) AS traces
FROM question_traces
GROUP BY start_unix_ns - start_unix_ns % 3600000000000, arm_name
ORDER BY hour_unix_ns, arm_name
