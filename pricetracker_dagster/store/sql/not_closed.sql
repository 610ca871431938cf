SELECT metric, epoch(minute), concat_ws(',', open, high, low, close, volume, trades)
FROM candles
WHERE minute > $newest
ORDER BY metric, minute
