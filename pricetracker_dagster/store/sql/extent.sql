-- Of each metric: its first and last minute in the range, in Unix seconds, and how many there are.
SELECT metric, epoch(min(minute))::BIGINT, epoch(max(minute))::BIGINT, count(*)
FROM read_parquet($files, hive_partitioning = false)
WHERE minute BETWEEN $first AND $last AND list_contains($metrics::VARCHAR[], metric)
GROUP BY metric
