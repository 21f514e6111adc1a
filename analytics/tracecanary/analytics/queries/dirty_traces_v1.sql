-- The traces that new rows speak of, or whose spans are gone in part: each is derived again, as far as it changed.
-- grain: trace_id   params: none   reads: rederived_traces, new_evaluations
SELECT trace_id FROM rederived_traces
UNION
SELECT trace_id FROM new_evaluations
