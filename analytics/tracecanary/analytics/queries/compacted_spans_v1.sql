-- Spans as compaction stores them: one row per span (spans_v1 says which duplicate), an hour after the other, and
-- within it a trace together. hour_unix_ns and duplicate_rank are not stored.
-- grain: trace_id, span_id   params: $kept_from_unix_ns BIGINT   reads: spans
SELECT spans.*, start_unix_ns - start_unix_ns % 3600000000000 AS hour_unix_ns
FROM spans
WHERE start_unix_ns >= $kept_from_unix_ns
ORDER BY hour_unix_ns, trace_id, start_unix_ns, span_id
