-- Spans of files of which some rows may have expired, without these.
-- grain: a span and each time it was delivered   params: $kept_from_ns BIGINT   reads: passing_spans
SELECT *
FROM passing_spans
WHERE start_unix_ns >= $kept_from_ns
