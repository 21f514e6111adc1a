-- Evaluations of files of which some rows may have expired, without these.
-- grain: an evaluation and each time it was delivered   params: $kept_from_ns BIGINT   reads: passing_evaluations
SELECT *
FROM passing_evaluations
WHERE received_unix_ns >= $kept_from_ns
