INSERT INTO kept_1.rows
SELECT metric, minute, open, close, volume, filename
FROM read_parquet($files, hive_partitioning = false, filename = true)
WHERE minute BETWEEN $first AND $last
