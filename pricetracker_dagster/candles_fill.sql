-- Complete `candles` over $spans (metric, first, last): a minute without trades is a row with volume 0,
-- trades 0 and the previous close. A minute of $left_out (metric, minute) that has no candle stays absent, and so do
-- the quiet minutes after it: something was said about it that could not be used, so nobody knows at which price
-- it closed. Minutes before a metric's first candle stay absent too: there is no previous close. So do those between two
-- candles that are further apart than $longest (seconds; NULL: no limit).
WITH spans AS (
    SELECT unnest($spans::STRUCT(metric VARCHAR, first TIMESTAMPTZ, last TIMESTAMPTZ)[], recursive := true)
),
left_out AS (
    SELECT unnest($left_out::STRUCT(metric VARCHAR, minute TIMESTAMPTZ)[], recursive := true)
),
grid AS (
    SELECT metric, unnest(generate_series(first, last, INTERVAL 1 MINUTE)) AS minute
    FROM spans
),
known AS (
    SELECT
        *,
        epoch(lead(minute) OVER (PARTITION BY metric ORDER BY minute)) - epoch(minute) AS silence,
        false AS unusable
    FROM candles
    UNION ALL BY NAME
    SELECT DISTINCT metric, minute, NULL::DOUBLE AS silence, true AS unusable
    FROM left_out
    ANTI JOIN candles USING (metric, minute)
)
SELECT
    grid.metric,
    grid.minute,
    CASE WHEN known.minute = grid.minute THEN known.open ELSE known.close END AS open,
    CASE WHEN known.minute = grid.minute THEN known.high ELSE known.close END AS high,
    CASE WHEN known.minute = grid.minute THEN known.low ELSE known.close END AS low,
    known.close,
    CASE WHEN known.minute = grid.minute THEN known.volume ELSE 0.0 END AS volume,
    CASE WHEN known.minute = grid.minute THEN known.trades ELSE 0 END AS trades,
    known.fetched_at
FROM grid
ASOF JOIN known ON grid.metric = known.metric AND grid.minute >= known.minute
WHERE
    NOT known.unusable
    AND (known.minute = grid.minute OR $longest::BIGINT IS NULL OR coalesce(known.silence, 0) <= $longest)
ORDER BY grid.metric, grid.minute
