SELECT metric, minute, open, high, low, close, volume, trades, fetched_at
FROM read_parquet($files, hive_partitioning = false)
WHERE minute BETWEEN $first AND $last AND list_contains($metrics::VARCHAR[], metric)
ORDER BY metric, minute
