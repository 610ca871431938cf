-- What of each of $metrics is stored of each UTC day, from $first to $last: first and last minute in Unix seconds, and
-- how many.
SELECT metric, epoch(min(minute))::BIGINT AS first, epoch(max(minute))::BIGINT AS last, count(*) AS minutes
FROM read_parquet($files, hive_partitioning = false)
WHERE minute BETWEEN $first AND $last AND metric IN (SELECT unnest($metrics::VARCHAR[]))
GROUP BY metric, epoch_us(minute) // 86_400_000_000
