-- Partials of {{parts}} merged to one a metric.
WITH totals AS (
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
    FROM {{parts}}
    GROUP BY metric
),
summed AS (
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
    FROM {{parts}} AS p
    JOIN totals AS t USING (metric)
    GROUP BY metric
)
SELECT
    metric,
    observations,
    first_minute,
    last_minute,
    percentages,
    first_percentage,
    last_percentage,
    price_mean,
    price_m2,
    price_last,
    volume_mean,
    volume_m2,
    volume_last,
    absolute_mean,
    absolute_m2,
    absolute_last,
    percentage_mean,
    percentage_m2,
    percentage_last
FROM totals
JOIN summed USING (metric)
