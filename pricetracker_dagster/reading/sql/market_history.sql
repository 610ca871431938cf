-- Each minute of the metrics of a market, beside what all that have the minute say, weighted as in `markets`.
WITH closes AS (
    SELECT
        market,
        exchange,
        metric,
        minute,
        value AS price,
        volume_24h AS weight
    FROM history_24h
    JOIN markets USING (metric)
    WHERE measure = 'price' AND (market = $market OR replace(market, '/', '') = $market)
),
weighted AS (
    SELECT
        market,
        minute,
        CASE
            WHEN count(*) < 2 THEN NULL
            WHEN min(price) = max(price) THEN min(price)
            ELSE coalesce(sum(price * weight) / nullif(sum(weight), 0), avg(price))
        END AS weighted_price
    FROM closes
    GROUP BY market, minute
)
SELECT
    market,
    exchange,
    metric,
    minute,
    price,
    weighted_price,
    (price - weighted_price) / nullif(weighted_price, 0) * 10_000 AS deviation_bps
FROM closes
JOIN weighted USING (market, minute)
ORDER BY minute, market, metric
