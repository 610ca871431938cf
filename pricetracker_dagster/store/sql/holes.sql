-- First and last minute, in Unix seconds, of each gap between two rows of a metric.
SELECT metric, epoch(before)::BIGINT + 60, epoch(minute)::BIGINT - 60
FROM (
    SELECT metric, minute, lag(minute) OVER (PARTITION BY metric ORDER BY minute) AS before
    FROM read_parquet($files, hive_partitioning = false)
    WHERE minute BETWEEN $first AND $last AND list_contains($metrics::VARCHAR[], metric)
)
WHERE minute - before > INTERVAL 1 MINUTE
ORDER BY metric, minute
