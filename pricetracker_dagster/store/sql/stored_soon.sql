-- The minutes that were stored within so many seconds of their beginning.
SELECT metric, epoch(minute)::BIGINT
FROM read_parquet($files, hive_partitioning = false)
WHERE minute BETWEEN $first AND $last AND list_contains($metrics::VARCHAR[], metric)
    AND epoch(fetched_at) < epoch(minute) + $seconds
ORDER BY metric, minute
