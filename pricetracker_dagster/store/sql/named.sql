-- Which of some keys have a row in `candles`.
SELECT metric, epoch(minute)::BIGINT
FROM candles
SEMI JOIN (SELECT unnest($metrics::VARCHAR[]) AS metric, to_timestamp(unnest($minutes::BIGINT[])) AS minute)
    USING (metric, minute)
