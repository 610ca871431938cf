SELECT *
FROM read_parquet($files, hive_partitioning = false)
WHERE minute > $latest::TIMESTAMPTZ
ORDER BY metric, minute
