-- The last 24 hours of each metric, a row a metric and measure: partials merged, those of kept rows (`of_rows`) included.
CREATE TEMP VIEW parts AS
FROM kept_1.partials
UNION ALL
FROM of_rows;

CREATE TEMP TABLE totals AS
SELECT
    metric,
    sum(observations)::BIGINT AS observations,
    min(first_minute) AS first_minute,
    max(last_minute) AS last_minute,
    sum(percentages)::BIGINT AS percentages,
    min(first_percentage) AS first_percentage,
    max(last_percentage) AS last_percentage,
    merged_mean(price_mean, observations) AS price_mean,
    merged_mean(volume_mean, observations) AS volume_mean,
    merged_mean(absolute_mean, observations) AS absolute_mean,
    merged_mean(percentage_mean, percentages) AS percentage_mean
FROM parts
GROUP BY metric;

CREATE TEMP TABLE summed AS
SELECT
    metric,
    merged_m2(p.price_m2, p.observations, p.price_mean, t.price_mean) AS price_m2,
    merged_m2(p.volume_m2, p.observations, p.volume_mean, t.volume_mean) AS volume_m2,
    merged_m2(p.absolute_m2, p.observations, p.absolute_mean, t.absolute_mean) AS absolute_m2,
    merged_m2(p.percentage_m2, p.percentages, p.percentage_mean, t.percentage_mean) AS percentage_m2,
    arg_max(p.price_last, p.last_minute) AS price_last,
    arg_max(p.volume_last, p.last_minute) AS volume_last,
    arg_max(p.absolute_last, p.last_minute) AS absolute_last,
    arg_max(p.percentage_last, p.last_percentage) AS percentage_last
FROM parts AS p
JOIN totals AS t USING (metric)
GROUP BY metric;

CREATE TEMP TABLE measured AS
WITH together AS (FROM totals JOIN summed USING (metric))
SELECT metric, 'price' AS measure, deviation(price_m2, observations) AS stddev, price_mean AS mean, observations,
    first_minute, last_minute, price_last AS last_value
FROM together
UNION ALL
SELECT metric, 'volume', deviation(volume_m2, observations), volume_mean, observations, first_minute, last_minute, volume_last
FROM together
UNION ALL
SELECT metric, 'change_absolute', deviation(absolute_m2, observations), absolute_mean, observations,
    first_minute, last_minute, absolute_last
FROM together
UNION ALL
SELECT metric, 'change_percentage', deviation(percentage_m2, percentages), percentage_mean, percentages,
    first_percentage, last_percentage, percentage_last
FROM together
WHERE percentages > 0;
