-- The closed rows of `candles` that somebody stated.
SELECT *
FROM candles
ANTI JOIN derived USING (metric, minute)
WHERE minute <= $newest
