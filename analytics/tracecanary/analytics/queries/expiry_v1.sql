-- Since when facts and rollups are kept, ns since the epoch; 0 where none have expired.
-- grain: one row   params: $facts_from_ns, $rollups_from_ns BIGINT   reads: none
SELECT CAST($facts_from_ns AS BIGINT) AS facts_from_ns, CAST($rollups_from_ns AS BIGINT) AS rollups_from_ns
