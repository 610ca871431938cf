SELECT epoch(max(minute))
FROM read_parquet($files)
WHERE minute <= $latest
