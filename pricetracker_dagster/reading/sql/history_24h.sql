SELECT metric, measure, minute, value
FROM history_24h
WHERE metric = $metric AND measure = $measure
ORDER BY minute
