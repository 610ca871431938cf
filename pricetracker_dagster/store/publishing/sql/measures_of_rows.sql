-- The measures of minutes of {{rows}}, with minutes counted since 1970; counted is 1 where there is a percentage.
SELECT
    metric,
    (epoch_us(minute) // 60_000_000)::INTEGER AS minute,
    measure_of('price', open, close, volume) AS price,
    measure_of('volume', open, close, volume) AS volume,
    measure_of('change_absolute', open, close, volume) AS absolute,
    coalesce(measure_of('change_percentage', open, close, volume), 0) AS percentage,
    (measure_of('change_percentage', open, close, volume) IS NOT NULL)::UTINYINT AS counted
FROM {{rows}}
WHERE minute BETWEEN $first AND $last
