-- The closes of minutes of the metrics in `compared` (metric, place), with minutes counted since 1970.
SELECT place, (epoch_us(minute) // 60_000_000)::INTEGER AS minute, close
FROM {{rows}}
JOIN compared USING (metric)
WHERE minute BETWEEN $first AND $last
