-- First and last minute, in Unix seconds, of each range of $first to $last in which one of $metrics has no row.
WITH counted AS (
    SELECT metric, count(*) AS rows
    FROM read_parquet($files, hive_partitioning = false)
    WHERE minute BETWEEN $first AND $last AND list_contains($metrics::VARCHAR[], metric)
    GROUP BY metric
),
-- mostly none: then nothing is sorted
incomplete AS MATERIALIZED (
    SELECT metric
    FROM (SELECT unnest($metrics::VARCHAR[]) AS metric) LEFT JOIN counted USING (metric)
    WHERE coalesce(rows, 0) <> $minutes
),
known AS (
    SELECT metric, minute
    FROM read_parquet($files, hive_partitioning = false) SEMI JOIN incomplete USING (metric)
    WHERE minute BETWEEN $first AND $last
    UNION ALL
    SELECT metric, unnest([$first::TIMESTAMPTZ - INTERVAL 1 MINUTE, $last::TIMESTAMPTZ + INTERVAL 1 MINUTE])
    FROM incomplete
)
SELECT metric, epoch(before)::BIGINT + 60, epoch(minute)::BIGINT - 60
FROM (SELECT metric, minute, lag(minute) OVER (PARTITION BY metric ORDER BY minute) AS before FROM known)
WHERE minute - before > INTERVAL 1 MINUTE
ORDER BY metric, minute
