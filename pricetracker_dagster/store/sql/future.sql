SELECT *
FROM read_parquet($files)
WHERE minute > $latest::TIMESTAMPTZ
ORDER BY metric, minute
