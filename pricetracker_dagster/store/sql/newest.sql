SELECT epoch(max(minute))
FROM read_parquet($files)
