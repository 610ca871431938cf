-- The rows of `candles` with fewer trades or less volume than the stored ones, and what is stored.
-- A stored volume that is no number is no measure of anything. -1: a number of trades that is not told.
SELECT
    s.metric, epoch(s.minute)::BIGINT, coalesce(t.trades, -1), t.volume,
    s.open, s.high, s.low, s.close, s.volume, coalesce(s.trades, -1)
FROM candles AS s
JOIN read_parquet($files, hive_partitioning = false) AS t ON t.metric = s.metric AND t.minute = s.minute
WHERE
    t.minute BETWEEN to_timestamp($first) AND to_timestamp($last)
    AND isfinite(t.volume)
    AND (s.trades < t.trades OR s.volume < t.volume * (1 - 1e-9))
ORDER BY s.metric, s.minute
