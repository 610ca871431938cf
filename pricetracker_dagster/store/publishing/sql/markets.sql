-- `of_markets` comes in the order of markets and volumes; minutes are counted since 1970, 0, NaN and '' are NULL.
INSERT INTO markets
SELECT
    market,
    exchange,
    metric,
    base,
    nullif(quote, ''),
    last_price,
    to_timestamp(last_minute::BIGINT * 60),
    volume,
    CASE WHEN NOT isnan(share) THEN share END,
    CASE WHEN NOT isnan(weighted_price) THEN weighted_price END,
    CASE WHEN NOT isnan(deviation) THEN deviation END,
    to_timestamp(nullif(deviation_minute, 0)::BIGINT * 60),
    CASE WHEN NOT isnan(largest) THEN largest END,
    to_timestamp(nullif(largest_minute, 0)::BIGINT * 60)
FROM of_markets
