-- What a sane candle is, once for the whole project: candles.sift() judges with it what arrives from an
-- exchange or a CSV, and the "candles sane" check judges with it what is stored.
-- Takes numbers (NULL where the text was none), gives NULL for a sane candle or the first thing wrong with it.
CREATE OR REPLACE TEMP MACRO candle_problem(unix, open_, high_, low_, close_, volume_, trades_) AS
    CASE
        WHEN unix IS NULL OR NOT isfinite(unix) THEN 'time is not a number'
        WHEN unix < 0 OR unix >= 4102444800 THEN 'time is not between 1970 and 2100'
        WHEN unix % 60 <> 0 THEN 'time is not a whole minute'
        WHEN open_ IS NULL OR NOT isfinite(open_) THEN 'open is not a number'
        WHEN high_ IS NULL OR NOT isfinite(high_) THEN 'high is not a number'
        WHEN low_ IS NULL OR NOT isfinite(low_) THEN 'low is not a number'
        WHEN close_ IS NULL OR NOT isfinite(close_) THEN 'close is not a number'
        WHEN volume_ IS NULL OR NOT isfinite(volume_) THEN 'volume is not a number'
        WHEN trades_ IS NULL OR NOT isfinite(trades_) THEN 'trades is not a number'
        WHEN least(open_, high_, low_, close_) < 0 THEN 'a price is negative'
        WHEN volume_ < 0 THEN 'volume is negative'
        WHEN trades_ < 0 OR trades_ <> floor(trades_) THEN 'trades is not a count'
        WHEN trades_ >= 9223372036854775808 THEN 'trades is not a 64-bit count'
        WHEN high_ < low_ THEN 'high is below low'
        WHEN greatest(open_, close_) > high_ OR least(open_, close_) < low_ THEN 'open or close is outside low to high'
    END;
