-- The closed rows of `candles` that were filled in.
SELECT *
FROM candles
SEMI JOIN derived USING (metric, minute)
WHERE minute <= $newest
