-- What a valid candle is, once for the whole project: candles.validate() tests with it what arrives from an
-- exchange or a CSV, and the "candles sane" check tests with it what is stored.
-- Nothing was traded before 2009: what lies there is minutes, hours or days in place of seconds.
CREATE OR REPLACE TEMP MACRO is_time(unix) AS unix >= 1230768000 AND unix < 4102444800;

-- The number that a text is: DuckDB would take 1_00 for 100.
CREATE OR REPLACE TEMP MACRO as_number(text) AS CASE WHEN NOT contains(text, '_') THEN TRY_CAST(text AS DOUBLE) END;

-- A text that people read, of bounded length.
CREATE OR REPLACE TEMP MACRO shortened(text) AS CASE WHEN length(text) > 200 THEN left(text, 199) || '…' ELSE text END;

-- Takes numbers (NULL where the text was none; of trades NaN, since NULL is a number that is not told), gives NULL for
-- a valid candle or the first thing wrong with it.
CREATE OR REPLACE TEMP MACRO candle_problem(unix, open_, high_, low_, close_, volume_, trades_) AS
    CASE
        WHEN unix IS NULL OR NOT isfinite(unix) THEN 'time is not a number'
        WHEN NOT is_time(unix) THEN 'time is not between 2009 and 2100'
        WHEN unix % 60 <> 0 THEN 'time is not a whole minute'
        WHEN open_ IS NULL OR NOT isfinite(open_) THEN 'open is not a number'
        WHEN high_ IS NULL OR NOT isfinite(high_) THEN 'high is not a number'
        WHEN low_ IS NULL OR NOT isfinite(low_) THEN 'low is not a number'
        WHEN close_ IS NULL OR NOT isfinite(close_) THEN 'close is not a number'
        WHEN volume_ IS NULL OR NOT isfinite(volume_) THEN 'volume is not a number'
        WHEN NOT isfinite(trades_) THEN 'trades is not a number'
        WHEN least(open_, high_, low_, close_) < 0 THEN 'a price is negative'
        WHEN volume_ < 0 THEN 'volume is negative'
        WHEN trades_ < 0 OR trades_ <> floor(trades_) THEN 'trades is not a count'
        WHEN trades_ >= 9223372036854775808 THEN 'trades is not a 64-bit count'
        WHEN high_ < low_ THEN 'high is below low'
        WHEN greatest(open_, close_) > high_ OR least(open_, close_) < low_ THEN 'open or close is outside low to high'
    END;
