-- The rollup keys that occur in rollups.
-- grain: rollup_key   params: none   reads: stored_rollup_keys, new_rollup_hours
SELECT DISTINCT *
FROM stored_rollup_keys
WHERE rollup_key IN (SELECT rollup_key FROM new_rollup_hours)
ORDER BY rollup_key
