-- A row if one of `candles` is followed by a stored minute without trades that has another close.
SELECT 1
FROM candles AS s
JOIN read_parquet($files, hive_partitioning = false) AS t
    ON t.metric = s.metric AND t.minute = s.minute + INTERVAL 1 MINUTE AND t.close <> s.close
WHERE
    t.minute BETWEEN to_timestamp($first) AND to_timestamp($last)
    AND t.volume = 0
    AND t.trades IS NOT DISTINCT FROM 0
LIMIT 1
