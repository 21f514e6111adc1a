-- The counts of several parts, added up. One row.
-- grain: one row   params: none   reads: stored_rollup_unmatched
SELECT CAST(coalesce(sum(unmatched), 0) AS BIGINT) AS unmatched
FROM stored_rollup_unmatched
