-- The largest values of several parts, as far as all of them are there, and no more of them than in one part.
-- grain: day_unix_ns, rollup_key, metric, g, bucket   params: none   reads: stored_rollup_tails, stored_rollup_histograms
WITH sizes AS (
    SELECT day_unix_ns, rollup_key, metric, sum(n) AS traces
    FROM stored_rollup_histograms
    GROUP BY day_unix_ns, rollup_key, metric
),
stored_cuts AS (
    SELECT day_unix_ns, rollup_key, metric, max(complete_from) AS complete_from
    FROM stored_rollup_tails
    GROUP BY day_unix_ns, rollup_key, metric
),
summed AS (
    SELECT
        stored_rollup_tails.day_unix_ns,
        stored_rollup_tails.rollup_key,
        stored_rollup_tails.metric,
        stored_rollup_tails.g,
        stored_rollup_tails.bucket,
        CAST(sum(stored_rollup_tails.n) AS BIGINT) AS n,
        CAST(sum(stored_rollup_tails.total) AS DECIMAL(38, 0)) AS total,
        CAST(sum(stored_rollup_tails.total_sq) AS DECIMAL(38, 0)) AS total_sq,
        CAST(sum(stored_rollup_tails.total_cube) AS DECIMAL(38, 0)) AS total_cube
    FROM stored_rollup_tails
    INNER JOIN stored_cuts
        ON stored_rollup_tails.day_unix_ns = stored_cuts.day_unix_ns
        AND stored_rollup_tails.rollup_key = stored_cuts.rollup_key
        AND stored_rollup_tails.metric = stored_cuts.metric
    WHERE stored_rollup_tails.bucket >= stored_cuts.complete_from OR stored_cuts.complete_from IS NULL
    GROUP BY
        stored_rollup_tails.day_unix_ns, stored_rollup_tails.rollup_key, stored_rollup_tails.metric,
        stored_rollup_tails.g, stored_rollup_tails.bucket
    HAVING stored_rollup_tails.bucket IS NOT NULL AND (sum(stored_rollup_tails.n) != 0 OR sum(stored_rollup_tails.total) != 0)
),
counted AS (
    SELECT
        by_bucket.day_unix_ns,
        by_bucket.rollup_key,
        by_bucket.metric,
        by_bucket.bucket,
        sizes.traces,
        sum(by_bucket.n) OVER (
            PARTITION BY by_bucket.day_unix_ns, by_bucket.rollup_key, by_bucket.metric ORDER BY by_bucket.bucket DESC
            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) AS above
    FROM (
        SELECT day_unix_ns, rollup_key, metric, bucket, sum(n) AS n
        FROM summed
        GROUP BY day_unix_ns, rollup_key, metric, bucket
    ) AS by_bucket
    INNER JOIN sizes
        ON by_bucket.day_unix_ns = sizes.day_unix_ns
        AND by_bucket.rollup_key = sizes.rollup_key
        AND by_bucket.metric = sizes.metric
),
cuts AS (
    SELECT day_unix_ns, rollup_key, metric, max(complete_from) AS complete_from
    FROM (
        SELECT day_unix_ns, rollup_key, metric, bucket + 1 AS complete_from
        FROM counted
        WHERE above > greatest(8, traces / 64.0)
        UNION ALL
        SELECT day_unix_ns, rollup_key, metric, complete_from
        FROM stored_cuts
        WHERE complete_from IS NOT NULL
    ) AS both_cuts
    GROUP BY day_unix_ns, rollup_key, metric
)
SELECT
    summed.day_unix_ns, summed.rollup_key, summed.metric, summed.g, summed.bucket, cuts.complete_from, summed.n,
    summed.total, summed.total_sq, summed.total_cube
FROM summed
LEFT JOIN cuts
    ON summed.day_unix_ns = cuts.day_unix_ns AND summed.rollup_key = cuts.rollup_key AND summed.metric = cuts.metric
WHERE summed.bucket >= cuts.complete_from OR cuts.complete_from IS NULL
UNION ALL
SELECT day_unix_ns, rollup_key, metric, NULL, NULL, complete_from, 0, 0, 0, 0
FROM cuts
ORDER BY day_unix_ns, rollup_key, metric, g, bucket
