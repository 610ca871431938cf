-- The rows of `candles` whose minute is later than $newest, the newest closed one.
SELECT metric, epoch(minute), concat_ws(',', open, high, low, close, volume, trades)
FROM candles
WHERE minute > $newest
ORDER BY metric, minute
