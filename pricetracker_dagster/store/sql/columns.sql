FROM read_parquet($file, hive_partitioning = false)
LIMIT 0
