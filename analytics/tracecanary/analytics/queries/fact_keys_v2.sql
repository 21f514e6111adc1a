-- Digests of the traces that were derived: of trace ids, which are 32 hex digits mostly at random, the last 15; of what
-- else stands in their place 63 bits of another digest.
-- grain: trace_id   params: none   reads: new_facts
SELECT coalesce(
    TRY_CAST(concat('0x', substr(trace_id, 18, 15)) AS BIGINT), CAST(md5_number_lower(trace_id) >> 1 AS BIGINT)
) AS trace_key
FROM new_facts
