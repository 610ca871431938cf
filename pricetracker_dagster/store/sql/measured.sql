-- The last 24 hours of each metric, a row a metric and measure: one pass over the minutes for all four.
CREATE TEMP TABLE measured AS
WITH recent AS (
    SELECT
        metric,
        minute,
        close AS price,
        volume,
        close - open AS change_absolute,
        CASE WHEN open <> 0 THEN (close - open) / open * 100 END AS change_percentage
    FROM $recent_files
    WHERE
        minute > (SELECT as_of FROM snapshot) - INTERVAL 24 HOURS
        AND minute <= (SELECT as_of FROM snapshot)
),
summed AS (
    SELECT
        metric,
        count(*) AS observations,
        min(minute) AS first_minute,
        max(minute) AS last_minute,
        count(change_percentage) AS percentage_observations,
        min(minute) FILTER (change_percentage IS NOT NULL) AS percentage_first_minute,
        max(minute) FILTER (change_percentage IS NOT NULL) AS percentage_last_minute,
        stddev_samp(price) AS price_stddev,
        avg(price) AS price_mean,
        arg_max(price, minute) AS price_last,
        stddev_samp(volume) AS volume_stddev,
        avg(volume) AS volume_mean,
        arg_max(volume, minute) AS volume_last,
        stddev_samp(change_absolute) AS absolute_stddev,
        avg(change_absolute) AS absolute_mean,
        arg_max(change_absolute, minute) AS absolute_last,
        stddev_samp(change_percentage) AS percentage_stddev,
        avg(change_percentage) AS percentage_mean,
        arg_max(change_percentage, minute) AS percentage_last
    FROM recent
    GROUP BY metric
)
SELECT metric, 'price' AS measure, price_stddev AS stddev, price_mean AS mean, observations,
    first_minute, last_minute, price_last AS last_value
FROM summed
UNION ALL
SELECT metric, 'volume', volume_stddev, volume_mean, observations, first_minute, last_minute, volume_last
FROM summed
UNION ALL
SELECT metric, 'change_absolute', absolute_stddev, absolute_mean, observations, first_minute, last_minute, absolute_last
FROM summed
UNION ALL
SELECT metric, 'change_percentage', percentage_stddev, percentage_mean, percentage_observations,
    percentage_first_minute, percentage_last_minute, percentage_last
FROM summed
WHERE percentage_observations > 0;
