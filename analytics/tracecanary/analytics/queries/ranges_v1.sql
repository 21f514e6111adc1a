-- Ranges of time, as rows.
-- grain: first_ns, last_ns   params: $ranges BIGINT[][], each [first, last], both included   reads: none
SELECT given.range[1] AS first_ns, given.range[2] AS last_ns
FROM (SELECT unnest(CAST($ranges AS BIGINT[][])) AS range) AS given
