-- The rows of `candles` but those of some keys.
SELECT *
FROM candles
ANTI JOIN (SELECT unnest($metrics::VARCHAR[]) AS metric, to_timestamp(unnest($minutes::BIGINT[])) AS minute)
    USING (metric, minute)
