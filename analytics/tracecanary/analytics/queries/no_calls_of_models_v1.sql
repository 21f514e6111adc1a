-- The columns that only intricate traces have values of, without rows.
-- grain: none   params: none   reads: none
SELECT
    CAST(NULL AS BOOLEAN) AS is_judge,
    CAST(NULL AS BIGINT) AS retries,
    CAST(NULL AS BOOLEAN) AS is_left,
    CAST(NULL AS BOOLEAN) AS is_fallen_back_to
WHERE FALSE
