-- First and last minute, in Unix seconds, of each range of $first to $last in which one of $metrics has no row.
-- `stored_days` has each one's days. Only of days with a hole in their middle are the rows read: mostly there is none.
WITH days AS (
    FROM stored_days
    SELECT *, rows <= (epoch_us(last) - epoch_us(first)) // 60_000_000 AS holed
),
known AS (
    SELECT metric, first, last
    FROM days
    WHERE NOT holed
    UNION ALL
    SELECT metric, minute, minute
    FROM read_parquet($files, hive_partitioning = false)
    SEMI JOIN (FROM days WHERE holed) AS holed
        ON holed.metric = read_parquet.metric AND minute BETWEEN holed.first AND holed.last
    UNION ALL
    SELECT metric, minute, minute
    FROM (SELECT unnest($metrics::VARCHAR[]) AS metric),
        (SELECT unnest([$first::TIMESTAMPTZ - INTERVAL 1 MINUTE, $last::TIMESTAMPTZ + INTERVAL 1 MINUTE]) AS minute)
)
SELECT metric, epoch(before)::BIGINT + 60, epoch(first)::BIGINT - 60
FROM (SELECT metric, first, lag(last) OVER (PARTITION BY metric ORDER BY first) AS before FROM known)
WHERE first - before > INTERVAL 1 MINUTE
ORDER BY metric, first
