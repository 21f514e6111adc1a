-- The rollup keys of several parts, each once.
-- grain: rollup_key   params: none   reads: stored_rollup_keys
SELECT DISTINCT *
FROM stored_rollup_keys
ORDER BY rollup_key
