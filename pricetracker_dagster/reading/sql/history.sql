SELECT metric, $measure AS measure, minute, measure_of($measure, open, close, volume) AS value
FROM ({{candles}})
WHERE value IS NOT NULL
ORDER BY minute
