-- The metrics of which anything is read.
SELECT DISTINCT metric
FROM candles
