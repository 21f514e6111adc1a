-- What is kept of some traces; no row for one of which no span or evaluation was stored.
-- grain: trace_id   params: $trace_ids VARCHAR[]   reads: live_facts
SELECT *
FROM live_facts
WHERE trace_id IN (SELECT unnest(CAST($trace_ids AS VARCHAR[])))
