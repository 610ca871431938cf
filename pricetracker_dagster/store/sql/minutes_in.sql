-- First and last minute of a Parquet file, in Unix seconds.
SELECT epoch(min(minute))::BIGINT, epoch(max(minute))::BIGINT
FROM read_parquet($file, hive_partitioning = false)
