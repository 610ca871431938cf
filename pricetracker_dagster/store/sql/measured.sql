-- The last 24 hours of each metric, a row a metric and measure. All four measures are summed in one pass over the
-- minutes; the last values are looked up afterwards, which costs less than carrying them through the aggregation.
CREATE TEMP VIEW recent AS
SELECT
    metric,
    minute,
    measure_of('price', open, close, volume) AS price,
    measure_of('volume', open, close, volume) AS volume,
    measure_of('change_absolute', open, close, volume) AS change_absolute,
    measure_of('change_percentage', open, close, volume) AS change_percentage
FROM {{recent_files}}
WHERE
    minute > (SELECT as_of FROM snapshot) - INTERVAL 24 HOURS
    AND minute <= (SELECT as_of FROM snapshot);

CREATE TEMP TABLE summed AS
SELECT
    metric,
    count(*) AS observations,
    min(minute) AS first_minute,
    max(minute) AS last_minute,
    count(change_percentage) AS percentage_observations,
    stddev_samp(price) AS price_stddev,
    avg(price) AS price_mean,
    stddev_samp(volume) AS volume_stddev,
    avg(volume) AS volume_mean,
    stddev_samp(change_absolute) AS absolute_stddev,
    avg(change_absolute) AS absolute_mean,
    stddev_samp(change_percentage) AS percentage_stddev,
    avg(change_percentage) AS percentage_mean
FROM recent
GROUP BY metric;

-- First and last minute that have a percentage: those of all values, but for metrics that opened at 0.
CREATE TEMP TABLE percentages AS
SELECT metric, first_minute, last_minute
FROM summed
WHERE percentage_observations = observations
UNION ALL
SELECT metric, min(minute), max(minute)
FROM recent
SEMI JOIN (FROM summed WHERE percentage_observations <> observations) AS zeros USING (metric)
WHERE change_percentage IS NOT NULL
GROUP BY metric;

CREATE TEMP TABLE newest AS
FROM recent
WHERE minute IN (SELECT last_minute FROM summed UNION SELECT last_minute FROM percentages);

CREATE TEMP TABLE measured AS
SELECT summed.metric, 'price' AS measure, price_stddev AS stddev, price_mean AS mean, observations,
    first_minute, last_minute, price AS last_value
FROM summed JOIN newest ON newest.metric = summed.metric AND newest.minute = summed.last_minute
UNION ALL
SELECT summed.metric, 'volume', volume_stddev, volume_mean, observations, first_minute, last_minute, volume
FROM summed JOIN newest ON newest.metric = summed.metric AND newest.minute = summed.last_minute
UNION ALL
SELECT summed.metric, 'change_absolute', absolute_stddev, absolute_mean, observations, first_minute, last_minute, change_absolute
FROM summed JOIN newest ON newest.metric = summed.metric AND newest.minute = summed.last_minute
UNION ALL
SELECT summed.metric, 'change_percentage', percentage_stddev, percentage_mean, percentage_observations,
    percentages.first_minute, percentages.last_minute, change_percentage
FROM summed
JOIN percentages USING (metric)
JOIN newest ON newest.metric = summed.metric AND newest.minute = percentages.last_minute;
