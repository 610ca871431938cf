-- First and last minute, in Unix seconds, of each run of minutes without a hole of some metrics, each from one of
-- $begins to the one of $ends that belongs to it, in Unix seconds.
WITH wanted AS (
    SELECT unnest($metrics::VARCHAR[]) AS metric, unnest($begins::BIGINT[]) AS first, unnest($ends::BIGINT[]) AS last
),
minutes AS (
    SELECT metric, epoch(minute)::BIGINT // 60 AS minute
    FROM read_parquet($files, hive_partitioning = false)
    SEMI JOIN wanted
        ON wanted.metric = read_parquet.metric AND minute BETWEEN to_timestamp(first) AND to_timestamp(last)
)
SELECT metric, min(minute) * 60, max(minute) * 60
FROM (SELECT *, minute - row_number() OVER (PARTITION BY metric ORDER BY minute) AS run FROM minutes)
GROUP BY metric, run
