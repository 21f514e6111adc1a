-- Since when spans and evaluations are kept; what is older has been dropped from the lake, or will be.
-- grain: one row   params: $spans_from_ns BIGINT, $evaluations_from_ns BIGINT   reads: none
SELECT CAST($spans_from_ns AS BIGINT) AS spans_from_ns, CAST($evaluations_from_ns AS BIGINT) AS evaluations_from_ns
