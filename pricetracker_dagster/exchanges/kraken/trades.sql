-- Minute candles from single trades, as text in the order of candles.RAW_COLUMNS, so that candles.validate()
-- tests them like any other. Volumes are added as decimals: adding doubles would differ from the exchange's own sum in
-- the last digit. A trade that cannot be read spoils its minute: its text takes the place of the open or the volume.
CREATE OR REPLACE TEMP TABLE raw AS
WITH trade AS (
    SELECT
        t[1] AS price,
        t[2] AS volume,
        floor(t[3]::DOUBLE / 60)::BIGINT * 60 AS unix,
        TRY_CAST(t[1] AS DECIMAL(38, 12)) AS price_,
        TRY_CAST(t[2] AS DECIMAL(38, 12)) AS volume_,
        row_number() OVER () AS line
    FROM (SELECT unnest($trades::VARCHAR[][]) AS t)
)
SELECT
    $metric::VARCHAR AS metric,
    unix::VARCHAR AS unix,
    coalesce(
        any_value(coalesce(price, 'no price')) FILTER (price_ IS NULL OR price_ < 0),
        arg_min(price, line)
    ) AS open,
    arg_max(price, price_) AS high,
    arg_min(price, price_) AS low,
    arg_max(price, line) AS close,
    coalesce(
        any_value(coalesce(volume, 'no volume')) FILTER (volume_ IS NULL OR volume_ < 0),
        sum(volume_)::VARCHAR
    ) AS volume,
    count(*)::VARCHAR AS trades,
    $fetched_at::TIMESTAMPTZ AS fetched_at
FROM trade
GROUP BY unix
ORDER BY unix;
