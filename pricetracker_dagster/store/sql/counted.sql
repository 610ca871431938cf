-- How many minutes from $first to $last each of $metrics has a row of.
SELECT metric, count(*)
FROM read_parquet($files, hive_partitioning = false)
WHERE minute BETWEEN $first AND $last AND list_contains($metrics::VARCHAR[], metric)
GROUP BY metric
