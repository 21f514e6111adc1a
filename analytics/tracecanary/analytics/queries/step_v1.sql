-- The number of the step of deriving that is going on, for views, which take no parameters.
-- grain: one row   params: $revision BIGINT   reads: none
SELECT CAST($revision AS BIGINT) AS revision
