-- What of each metric is stored of each UTC day: first and last minute, counted from midnight, and how many.
SELECT
    metric,
    minute::DATE AS day,
    ((epoch_us(min(minute)) % 86_400_000_000) // 60_000_000)::INTEGER AS first,
    ((epoch_us(max(minute)) % 86_400_000_000) // 60_000_000)::INTEGER AS last,
    count(*) AS minutes
FROM read_parquet($files, hive_partitioning = false)
GROUP BY metric, day
