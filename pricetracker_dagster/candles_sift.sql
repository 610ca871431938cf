-- Judge the rows of `raw` (every column but fetched_at is text, as the exchange or the file wrote it).
-- Of two rows for one minute the later one stands, as a corrected answer would.
CREATE OR REPLACE TEMP TABLE sifted AS
WITH numbered AS (
    SELECT
        *,
        row_number() OVER () AS line,
        TRY_CAST(unix AS DOUBLE) AS unix_,
        TRY_CAST(open AS DOUBLE) AS open_,
        TRY_CAST(high AS DOUBLE) AS high_,
        TRY_CAST(low AS DOUBLE) AS low_,
        TRY_CAST(close AS DOUBLE) AS close_,
        TRY_CAST(volume AS DOUBLE) AS volume_,
        TRY_CAST(trades AS DOUBLE) AS trades_
    FROM raw
),
judged AS (
    SELECT
        *,
        candle_problem(unix_, open_, high_, low_, close_, volume_, trades_) AS problem,
        -- the minute is known even for most of the rows that are refused: nobody may call such a minute quiet
        CASE WHEN isfinite(unix_) AND unix_ >= 0 AND unix_ < 4102444800
            THEN to_timestamp(floor(unix_ / 60) * 60)
        END AS minute
    FROM numbered
)
SELECT
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
    concat_ws(',', unix, open, high, low, close, volume, trades) AS row
FROM judged
QUALIFY problem IS NOT NULL OR row_number() OVER (PARTITION BY metric, minute, problem IS NULL ORDER BY line DESC) = 1;
