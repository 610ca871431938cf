-- First and last minute, in Unix seconds, of each range of $first to $last in which one of $metrics has no row.
WITH known AS (
    SELECT metric, minute
    FROM read_parquet($files, hive_partitioning = false)
    WHERE minute BETWEEN $first AND $last AND list_contains($metrics::VARCHAR[], metric)
    UNION ALL
    SELECT metric, minute
    FROM (SELECT unnest($metrics::VARCHAR[]) AS metric),
        (SELECT unnest([$first::TIMESTAMPTZ - INTERVAL 1 MINUTE, $last::TIMESTAMPTZ + INTERVAL 1 MINUTE]) AS minute)
)
SELECT metric, epoch(before)::BIGINT + 60, epoch(minute)::BIGINT - 60
FROM (SELECT metric, minute, lag(minute) OVER (PARTITION BY metric ORDER BY minute) AS before FROM known)
WHERE minute - before > INTERVAL 1 MINUTE
ORDER BY metric, minute
