-- What was derived before of the traces that are derived again.
-- grain: trace_id   params: none   reads: live_facts, dirty_traces
SELECT live_facts.*
FROM live_facts
INNER JOIN dirty_traces ON live_facts.trace_id = dirty_traces.trace_id
