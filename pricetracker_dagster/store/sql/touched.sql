-- The days, and those of the minutes before, of the rows of a metric in some files.
SELECT DISTINCT unnest([minute::DATE, (minute - INTERVAL 1 MINUTE)::DATE])
FROM read_parquet($files, hive_partitioning = false)
WHERE metric = $metric AND minute BETWEEN to_timestamp($first) AND to_timestamp($last)
