SELECT epoch(max(minute))
FROM read_parquet($files, hive_partitioning = false)
WHERE minute <= $latest
