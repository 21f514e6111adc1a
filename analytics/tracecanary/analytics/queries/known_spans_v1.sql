-- The spans, read before, of the traces that are derived again.
-- grain: a span and each time it was delivered   params: none   reads: earlier_spans, old_facts
SELECT earlier_spans.*
FROM earlier_spans
INNER JOIN old_facts ON earlier_spans.trace_id = old_facts.trace_id
