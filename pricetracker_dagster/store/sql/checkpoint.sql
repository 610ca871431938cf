-- What a checkpoint says of the files of its table.
SELECT add, remove, metaData, protocol
FROM read_parquet($files, union_by_name = true, hive_partitioning = false)
