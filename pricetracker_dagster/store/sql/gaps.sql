-- First and last minute, in Unix seconds, of each range of $first to $last in which one of $metrics has no row.
WITH stored AS MATERIALIZED (
    SELECT metric, minute
    FROM read_parquet($files, hive_partitioning = false)
    WHERE minute BETWEEN $first AND $last AND list_contains($metrics::VARCHAR[], metric)
),
-- mostly none: then nothing is sorted
lacking AS (
    SELECT metric
    FROM (SELECT unnest($metrics::VARCHAR[]) AS metric) LEFT JOIN stored USING (metric)
    GROUP BY metric
    HAVING count(minute) <> $minutes
),
ends AS (
    SELECT metric, unnest([$first::TIMESTAMPTZ - INTERVAL 1 MINUTE, $last::TIMESTAMPTZ + INTERVAL 1 MINUTE]) AS minute
    FROM lacking
)
SELECT metric, epoch(before)::BIGINT + 60, epoch(minute)::BIGINT - 60
FROM (
    SELECT metric, minute, lag(minute) OVER (PARTITION BY metric ORDER BY minute) AS before
    FROM (FROM stored SEMI JOIN lacking USING (metric) UNION ALL FROM ends)
)
WHERE minute - before > INTERVAL 1 MINUTE
ORDER BY metric, minute
