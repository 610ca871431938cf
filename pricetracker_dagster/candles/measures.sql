-- What each measure of a candle is, once for the whole project; NULL where there is none: a percentage of an open of 0.
-- Price and change_absolute are in the quote currency, volume is in base units. {{kind}}: MACRO or TEMP MACRO.
CREATE OR REPLACE {{kind}} measure_of(measure, open_, close_, volume_) AS
    CASE measure
        WHEN 'price' THEN close_
        WHEN 'volume' THEN volume_
        WHEN 'change_absolute' THEN close_ - open_
        WHEN 'change_percentage' THEN (close_ - open_) / nullif(open_, 0) * 100
    END;
