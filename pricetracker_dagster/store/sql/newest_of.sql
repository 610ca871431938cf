SELECT metric, epoch(max(minute))::BIGINT
FROM read_parquet($files, hive_partitioning = false)
WHERE minute BETWEEN $first AND $last AND list_contains($metrics::VARCHAR[], metric)
GROUP BY metric
