-- Validate the rows of `raw` (every column but fetched_at is text, as the exchange or the file wrote it).
-- Of two rows for one minute the later one is kept, as a corrected answer would be.
CREATE OR REPLACE TEMP TABLE validated AS
WITH numbered AS (
    SELECT
        *,
        row_number() OVER () AS line,
        as_number(unix) AS unix_,
        as_number(open) AS open_,
        as_number(high) AS high_,
        as_number(low) AS low_,
        as_number(close) AS close_,
        as_number(volume) AS volume_,
        CASE WHEN trades IS DISTINCT FROM 'not told' THEN coalesce(as_number(trades), 'nan'::DOUBLE) END AS trades_
    FROM raw
),
checked AS (
    SELECT
        *,
        candle_problem(unix_, open_, high_, low_, close_, volume_, trades_) AS problem,
        -- the minute is known even for most of the rows that are rejected: such a minute must not be filled as quiet
        CASE WHEN isfinite(unix_) AND is_time(unix_) THEN to_timestamp(floor(unix_ / 60) * 60) END AS minute
    FROM numbered
)
SELECT
    line,
    metric,
    minute,
    open_ AS open,
    high_ AS high,
    low_ AS low,
    close_ AS close,
    volume_ AS volume,
    TRY_CAST(trades_ AS BIGINT) AS trades,
    fetched_at,
    problem,
    unix_ % 60 = 0 AS whole,
    -- it is shown, logged and sent, and may be as long as an answer or a file
    CASE WHEN problem IS NOT NULL THEN shortened(concat_ws(',', unix, open, high, low, close, volume, trades)) END AS row
FROM checked
QUALIFY problem IS NOT NULL OR row_number() OVER (PARTITION BY metric, minute, problem IS NULL ORDER BY line DESC) = 1;
