-- Complete `candles` over $spans (metric, first, last): a minute without trades is a row with volume 0,
-- trades 0 and the previous close. A minute of $left_out (metric, minute) stays absent: something was
-- said about it that could not be used, so nobody knows that it was quiet. Minutes before a metric's first
-- candle stay absent too: there is no previous close.
WITH spans AS (
    SELECT unnest($spans::STRUCT(metric VARCHAR, first TIMESTAMPTZ, last TIMESTAMPTZ)[], recursive := true)
),
left_out AS (
    SELECT unnest($left_out::STRUCT(metric VARCHAR, minute TIMESTAMPTZ)[], recursive := true)
),
grid AS (
    SELECT metric, unnest(generate_series(first, last, INTERVAL 1 MINUTE)) AS minute
    FROM spans
)
SELECT
    grid.metric,
    grid.minute,
    CASE WHEN candles.minute = grid.minute THEN candles.open ELSE candles.close END AS open,
    CASE WHEN candles.minute = grid.minute THEN candles.high ELSE candles.close END AS high,
    CASE WHEN candles.minute = grid.minute THEN candles.low ELSE candles.close END AS low,
    candles.close,
    CASE WHEN candles.minute = grid.minute THEN candles.volume ELSE 0.0 END AS volume,
    CASE WHEN candles.minute = grid.minute THEN candles.trades ELSE 0 END AS trades,
    candles.fetched_at
FROM grid
ASOF JOIN candles ON grid.metric = candles.metric AND grid.minute >= candles.minute
ANTI JOIN left_out ON grid.metric = left_out.metric AND grid.minute = left_out.minute
ORDER BY grid.metric, grid.minute
