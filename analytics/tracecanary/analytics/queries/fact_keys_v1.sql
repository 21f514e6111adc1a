-- Digests of the traces that were derived: 63 bits each.
-- grain: trace_id   params: none   reads: new_facts
SELECT CAST(md5_number_lower(trace_id) >> 1 AS BIGINT) AS trace_key
FROM new_facts
