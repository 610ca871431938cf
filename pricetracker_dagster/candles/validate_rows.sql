-- $rows: one list of text a candle: when it was answered, and its cells in the order of candles.RAW_COLUMNS.
CREATE OR REPLACE TEMP TABLE raw AS
SELECT
    r[2] AS metric,
    r[3] AS unix,
    r[4] AS open,
    r[5] AS high,
    r[6] AS low,
    r[7] AS close,
    r[8] AS volume,
    r[9] AS trades,
    r[1]::TIMESTAMPTZ AS fetched_at
FROM (SELECT unnest($rows::VARCHAR[][]) AS r);
