-- rollup_clusters as numbers alone; a row of the cluster -1 says how many groups of clusters a day has.
-- grain: first_day (since the epoch), rollup_key, cluster   params: none   reads: stored_rollup_clusters
SELECT
    1 AS days,
    CAST(day_unix_ns / 86400000000000 AS INTEGER) AS first_day,
    coalesce(rollup_key, -1) AS rollup_key,
    CAST(coalesce(g, 0) AS SMALLINT) AS g,
    coalesce(cluster, -1) AS cluster,
    CAST(groups AS SMALLINT) AS groups,
    CAST(traces AS DOUBLE) AS traces
FROM stored_rollup_clusters
ORDER BY first_day
