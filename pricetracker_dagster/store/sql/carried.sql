-- The stored minutes without trades that follow one of `candles` without a gap but have another close, with its close.
-- One whose number of trades is not told was stated by its exchange, and stays as it was told.
WITH together AS (
    SELECT
        metric,
        minute,
        coalesce(s.close, t.close) AS close,
        t.trades,
        s.fetched_at,
        s.minute IS NOT NULL AS said,
        s.minute IS NULL AND t.volume = 0 AND t.trades IS NOT DISTINCT FROM 0 AS quiet
    FROM (
        FROM read_parquet($files, hive_partitioning = false)
        WHERE minute BETWEEN to_timestamp($first) AND to_timestamp($last)
    ) AS t
    FULL JOIN candles AS s USING (metric, minute)
    WHERE metric IN (SELECT metric FROM candles)
),
runs AS (
    SELECT *, minute - row_number() OVER (PARTITION BY metric ORDER BY minute) * INTERVAL 1 MINUTE AS run
    FROM together
),
led AS (
    SELECT
        *,
        last_value(CASE WHEN NOT quiet THEN {'said': said, 'close': close, 'fetched_at': fetched_at} END IGNORE NULLS)
            OVER (PARTITION BY metric, run ORDER BY minute) AS leader
    FROM runs
)
SELECT
    metric,
    minute,
    leader.close AS open,
    leader.close AS high,
    leader.close AS low,
    leader.close AS close,
    0.0::DOUBLE AS volume,
    trades,
    leader.fetched_at AS fetched_at,
    minute::DATE AS date
FROM led
WHERE quiet AND leader.said AND close <> leader.close
