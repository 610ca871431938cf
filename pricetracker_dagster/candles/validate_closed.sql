-- The rows of `candles` whose minute is later than $newest, the newest closed one, of metrics that begin with $begins.
SELECT metric, epoch(minute), concat_ws(',', open, high, low, close, volume, trades)
FROM candles
WHERE minute > $newest AND starts_with(metric, $begins)
ORDER BY metric, minute
