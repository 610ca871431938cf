-- Partials a metric and hour, as partials.py has them, of Parquet files; minutes are counted since 1970. Of equal values
-- the mean is that value and M2 is 0, exactly, however they were added up.
WITH measures AS (
    SELECT
        metric,
        (epoch_us(minute) // 60_000_000)::INTEGER AS minute,
        measure_of('price', open, close, volume) AS price,
        measure_of('volume', open, close, volume) AS volume,
        measure_of('change_absolute', open, close, volume) AS absolute,
        measure_of('change_percentage', open, close, volume) AS percentage
    FROM read_parquet($files, hive_partitioning = false)
    WHERE minute BETWEEN $first AND $last
)
SELECT
    metric,
    minute // 60 AS hour,
    bit_or(1::UBIGINT << (minute % 60)::UTINYINT) AS present,
    count(*)::INTEGER AS observations,
    min(minute) AS first_minute,
    max(minute) AS last_minute,
    count(percentage)::INTEGER AS percentages,
    coalesce(min(minute) FILTER (percentage IS NOT NULL), 0) AS first_percentage,
    coalesce(max(minute) FILTER (percentage IS NOT NULL), 0) AS last_percentage,
    mean_of(price) AS price_mean,
    m2_of(price) AS price_m2,
    arg_max(price, minute) AS price_last,
    mean_of(volume) AS volume_mean,
    m2_of(volume) AS volume_m2,
    arg_max(volume, minute) AS volume_last,
    mean_of(absolute) AS absolute_mean,
    m2_of(absolute) AS absolute_m2,
    arg_max(absolute, minute) AS absolute_last,
    coalesce(mean_of(percentage), 0) AS percentage_mean,
    coalesce(m2_of(percentage), 0) AS percentage_m2,
    coalesce(arg_max(percentage, minute), 0) AS percentage_last
FROM measures
GROUP BY metric, hour
ORDER BY hour, metric
