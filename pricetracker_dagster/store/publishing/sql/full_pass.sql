-- Where the attached published file says something else of the 24 hours than all rows of its Parquet files do.
-- Both add in their own order, so what rounding may do is allowed for.
WITH minutes AS (
    SELECT
        metric,
        minute,
        measure_of('price', open, close, volume) AS price,
        measure_of('volume', open, close, volume) AS volume,
        measure_of('change_absolute', open, close, volume) AS absolute,
        measure_of('change_percentage', open, close, volume) AS percentage
    FROM read_parquet($files, hive_partitioning = false)
    WHERE minute BETWEEN $first AND $last
),
summed AS (
    SELECT
        metric,
        count(*) AS observations,
        count(percentage) AS percentages,
        min(minute) AS first_minute,
        max(minute) AS last_minute,
        {'stddev': stddev_samp(price), 'mean': avg(price), 'last': arg_max(price, minute)} AS price,
        {'stddev': stddev_samp(volume), 'mean': avg(volume), 'last': arg_max(volume, minute)} AS volume,
        {'stddev': stddev_samp(absolute), 'mean': avg(absolute), 'last': arg_max(absolute, minute)} AS absolute,
        {'stddev': stddev_samp(percentage), 'mean': avg(percentage), 'last': arg_max(percentage, minute)} AS percentage,
        min(minute) FILTER (percentage IS NOT NULL) AS first_percentage,
        max(minute) FILTER (percentage IS NOT NULL) AS last_percentage
    FROM minutes
    GROUP BY metric
),
in_full AS (
    SELECT metric, 'price' AS measure, observations, first_minute, last_minute, price AS said FROM summed
    UNION ALL
    SELECT metric, 'volume', observations, first_minute, last_minute, volume FROM summed
    UNION ALL
    SELECT metric, 'change_absolute', observations, first_minute, last_minute, absolute FROM summed
    UNION ALL
    SELECT metric, 'change_percentage', percentages, first_percentage, last_percentage, percentage FROM summed
    WHERE percentages > 0
),
published AS (
    SELECT metric, measure, observations, first_minute, last_minute, {'stddev': stddev, 'mean': mean, 'last': last_value} AS said
    FROM metric_rank
    FULL JOIN available_metrics USING (metric, measure, observations)
)
SELECT metric, measure, p.said.stddev, f.said.stddev
FROM published AS p
FULL JOIN in_full AS f USING (metric, measure)
WHERE
    (p.observations, p.first_minute, p.last_minute, p.said.last)
    IS DISTINCT FROM (f.observations, f.first_minute, f.last_minute, f.said.last)
    OR (
        p.said.stddev IS DISTINCT FROM f.said.stddev
        AND NOT coalesce(
            abs(p.said.stddev - f.said.stddev) <= 1e-9 * abs(f.said.stddev) + 1e-14 * abs(f.said.mean), false
        )
    )
    OR (
        p.said.mean IS DISTINCT FROM f.said.mean
        AND NOT coalesce(
            abs(p.said.mean - f.said.mean) <= 1e-9 * (abs(f.said.mean) + coalesce(f.said.stddev, 0)), false
        )
    )
ORDER BY metric, measure
