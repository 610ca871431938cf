-- Of each day of `candles` (one metric, its rows with `filled`) how many rows are stored, and whether anything is to be
-- done: a row is missing or differs (one that was filled replaces none), or a stored minute without trades has another
-- close than what it follows. A stored row that is not among them belongs to the day of the minute before it: the one at
-- $last, a minute after them, follows $close.
SELECT
    coalesce(s.minute, t.minute - INTERVAL 1 MINUTE)::DATE AS day,
    count(t.minute) AS stored,
    count(*) FILTER (
        CASE
            WHEN t.minute IS NULL THEN true
            WHEN s.minute IS NULL OR s.filled
                THEN
                    t.volume = 0
                    AND t.trades IS NOT DISTINCT FROM 0
                    AND t.close IS DISTINCT FROM CASE WHEN t.minute = to_timestamp($last) THEN $close ELSE s.close END
            ELSE
                s.open IS DISTINCT FROM t.open
                OR s.high IS DISTINCT FROM t.high
                OR s.low IS DISTINCT FROM t.low
                OR s.close IS DISTINCT FROM t.close
                OR s.volume IS DISTINCT FROM t.volume
                OR s.trades IS DISTINCT FROM t.trades
        END
    ) AS differs
FROM candles AS s
FULL JOIN (
    SELECT minute, open, high, low, close, volume, trades
    FROM read_parquet($files, hive_partitioning = false)
    WHERE metric = $metric AND minute BETWEEN to_timestamp($first) AND to_timestamp($last)
) AS t ON t.minute = s.minute
GROUP BY day
HAVING stored > 0
