-- Complete `candles` over $spans (metric, first, last): a minute without trades is a row with volume 0,
-- trades 0 and the previous close. A minute of $left_out (metric, minute) that has no candle stays absent, and so do
-- the quiet minutes after it: a row about it was rejected, so the price at which it closed is unknown. A minute of $absent (metric, minute) stays absent alone. Minutes before a metric's first candle stay absent
-- too: there is no previous close. So do those between two candles that are further apart than $longest (seconds; NULL:
-- no limit).
-- What is filled is made candle by candle and not from a grid of the span: one odd time in a file may be years away.
WITH spans AS (
    SELECT unnest($spans::STRUCT(metric VARCHAR, first TIMESTAMPTZ, last TIMESTAMPTZ)[], recursive := true)
),
left_out AS (
    SELECT unnest($left_out::STRUCT(metric VARCHAR, minute TIMESTAMPTZ)[], recursive := true)
),
absent AS (
    SELECT unnest($absent::STRUCT(metric VARCHAR, minute TIMESTAMPTZ)[], recursive := true)
),
known AS (
    SELECT
        metric,
        minute,
        close,
        fetched_at,
        epoch(lead(minute) OVER (PARTITION BY metric ORDER BY minute)) - epoch(minute) AS silence,
        false AS unusable
    FROM candles
    UNION ALL BY NAME
    SELECT DISTINCT metric, minute, true AS unusable
    FROM left_out
    ANTI JOIN candles USING (metric, minute)
),
followed AS (
    SELECT *, lead(minute) OVER (PARTITION BY metric ORDER BY minute) - INTERVAL 1 MINUTE AS quiet_until
    FROM known
),
quiet AS (
    SELECT
        metric,
        unnest(
            generate_series(
                greatest(minute + INTERVAL 1 MINUTE, first), least(coalesce(quiet_until, last), last), INTERVAL 1 MINUTE
            )
        ) AS minute,
        close,
        fetched_at
    FROM followed
    JOIN spans USING (metric)
    WHERE
        NOT unusable
        AND (quiet_until IS NULL OR quiet_until > minute)
        AND ($longest::BIGINT IS NULL OR coalesce(silence, 0) <= $longest)
)
SELECT candles.*
FROM candles
JOIN spans ON spans.metric = candles.metric AND candles.minute BETWEEN spans.first AND spans.last
UNION ALL BY NAME
SELECT metric, minute, close AS open, close AS high, close AS low, close, 0.0 AS volume, 0 AS trades, fetched_at
FROM quiet
ANTI JOIN absent USING (metric, minute)
ORDER BY metric, minute
