-- $rows: one list of text a candle, in the order of candles.RAW_COLUMNS.
CREATE OR REPLACE TEMP TABLE raw AS
SELECT
    r[1] AS metric,
    r[2] AS unix,
    r[3] AS open,
    r[4] AS high,
    r[5] AS low,
    r[6] AS close,
    r[7] AS volume,
    r[8] AS trades,
    $fetched_at::TIMESTAMPTZ AS fetched_at
FROM (SELECT unnest($rows::VARCHAR[][]) AS r);
