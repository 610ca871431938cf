-- Partials a metric and hour, with the columns of kept_1.partials, from {{rows}}: metric, minute, open, close, volume.
WITH measures AS (
    SELECT
        metric,
        minute,
        measure_of('price', open, close, volume) AS price,
        measure_of('volume', open, close, volume) AS volume,
        measure_of('change_absolute', open, close, volume) AS absolute,
        measure_of('change_percentage', open, close, volume) AS percentage
    FROM {{rows}}
    WHERE minute BETWEEN $first AND $last
)
SELECT
    metric,
    (epoch_us(minute) // 3_600_000_000)::INTEGER AS hour,
    bit_or(1::UBIGINT << (epoch_us(minute) // 60_000_000 % 60)::UTINYINT) AS present,
    count(*) AS observations,
    min(minute) AS first_minute,
    max(minute) AS last_minute,
    count(percentage) AS percentages,
    min(minute) FILTER (percentage IS NOT NULL) AS first_percentage,
    max(minute) FILTER (percentage IS NOT NULL) AS last_percentage,
    mean_of(price) AS price_mean,
    m2_of(price) AS price_m2,
    arg_max(price, minute) AS price_last,
    mean_of(volume) AS volume_mean,
    m2_of(volume) AS volume_m2,
    arg_max(volume, minute) AS volume_last,
    mean_of(absolute) AS absolute_mean,
    m2_of(absolute) AS absolute_m2,
    arg_max(absolute, minute) AS absolute_last,
    mean_of(percentage) AS percentage_mean,
    m2_of(percentage) AS percentage_m2,
    arg_max(percentage, minute) AS percentage_last
FROM measures
GROUP BY metric, hour
