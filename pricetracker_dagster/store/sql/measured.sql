-- The last 24 hours of each metric, a row a metric and measure: the whole hours, merged before, and the kept rows.
CREATE TEMP VIEW parts AS
FROM kept_1.middle
UNION ALL
SELECT * EXCLUDE (hour, present)
FROM of_rows;

CREATE TEMP TABLE merged AS
{{merged}};

CREATE TEMP TABLE measured AS
SELECT metric, 'price' AS measure, deviation(price_m2, observations) AS stddev, price_mean AS mean, observations,
    first_minute, last_minute, price_last AS last_value
FROM merged
UNION ALL
SELECT metric, 'volume', deviation(volume_m2, observations), volume_mean, observations, first_minute, last_minute, volume_last
FROM merged
UNION ALL
SELECT metric, 'change_absolute', deviation(absolute_m2, observations), absolute_mean, observations,
    first_minute, last_minute, absolute_last
FROM merged
UNION ALL
SELECT metric, 'change_percentage', deviation(percentage_m2, percentages), percentage_mean, percentages,
    first_percentage, last_percentage, percentage_last
FROM merged
WHERE percentages > 0;
