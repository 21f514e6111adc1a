-- What parts that become one supersede in the parts before them, of which there are none if they are all ($is_whole).
-- grain: trace_id   params: $is_whole BOOLEAN   reads: stored_superseded
SELECT trace_id, max(revision) AS revision
FROM stored_superseded
WHERE NOT $is_whole
GROUP BY trace_id
