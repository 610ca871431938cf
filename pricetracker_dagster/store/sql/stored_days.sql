-- What of each of $metrics is stored of the minutes from $first to $last: a row a UTC day, counted from 1970.
SELECT metric, epoch_us(minute) // 86_400_000_000 AS day, min(minute) AS first, max(minute) AS last, count(*) AS rows
FROM read_parquet($files, hive_partitioning = false)
WHERE minute BETWEEN $first AND $last AND metric IN (SELECT unnest($metrics::VARCHAR[]))
GROUP BY metric, day
