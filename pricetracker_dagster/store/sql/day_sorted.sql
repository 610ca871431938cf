-- The rows of some metrics, $first to $last, as a file of a day has them.
SELECT *
FROM read_parquet($files, hive_partitioning = false, union_by_name = true)
WHERE metric BETWEEN $first AND $last
ORDER BY metric, minute
