-- The traces that new spans belong to.
-- grain: trace_id   params: none   reads: trace_outlines
SELECT trace_id
FROM trace_outlines
