-- First and last minute, in Unix seconds, of each stretch of stored minutes without trades.
-- One whose number of trades is not told was stated by its exchange: there is nothing to ask about it.
WITH since AS (
    SELECT unnest($since::STRUCT(metric VARCHAR, first TIMESTAMPTZ)[], recursive := true)
),
quiet AS (
    SELECT metric, minute, row_number() OVER (PARTITION BY metric ORDER BY minute) AS n
    FROM read_parquet($files, hive_partitioning = false) JOIN since USING (metric)
    WHERE minute BETWEEN first AND $last::TIMESTAMPTZ AND volume = 0 AND trades = 0
)
SELECT metric, epoch(min(minute))::BIGINT, epoch(max(minute))::BIGINT
FROM quiet
GROUP BY metric, minute - n * INTERVAL 1 MINUTE
ORDER BY metric, min(minute)
