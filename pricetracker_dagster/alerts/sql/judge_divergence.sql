-- Judge metrics by a rule of kind divergence: adds a row a metric and minute to the table `verdicts`.
--
-- A price is compared with the median of the other prices of its market in the same minute. $markets: the market of each
-- metric that takes part. A minute without trades shows a price at which nobody traded in it: it is neither judged nor
-- one of the others; nor is a minute within one of $outages of its exchange.
-- The median is read off the sorted prices of the market with the own one left out; of an even number of others it is
-- half way between the two in the middle.
-- A difference must exceed the limit by more than 1e-9 of it: less is what binary arithmetic makes of decimals.
INSERT INTO verdicts
WITH markets AS (
    SELECT unnest($markets::STRUCT(metric VARCHAR, market VARCHAR)[], recursive := true)
),
candidates AS (
    SELECT
        metric,
        market,
        minute,
        CASE WHEN isfinite(close) AND close > 0 THEN close END AS price,
        CASE
            WHEN list_bool_or(
                [
                    outage.exchange = split_part(metric, ':', 1) AND minute BETWEEN outage.first AND outage.last
                    FOR outage IN $outages::STRUCT(exchange VARCHAR, first TIMESTAMPTZ, last TIMESTAMPTZ)[]
                ]
            )
            THEN 'exchange is out'
            WHEN price IS NULL THEN 'no value'
            WHEN NOT isfinite(volume) OR volume <= 0 THEN 'no trades'
        END AS why_not
    FROM candles
    JOIN markets USING (metric)
    WHERE minute BETWEEN $first::TIMESTAMPTZ AND $last::TIMESTAMPTZ
),
sorted AS (
    SELECT market, minute, list(price ORDER BY price, metric) AS prices
    FROM candidates
    WHERE why_not IS NULL
    GROUP BY market, minute
),
placed AS (
    SELECT
        metric,
        market,
        minute,
        row_number() OVER (PARTITION BY market, minute ORDER BY price, metric) AS place
    FROM candidates
    WHERE why_not IS NULL
),
medians AS (
    SELECT
        metric,
        minute,
        len(prices) - 1 AS others,
        (others + 1) // 2 AS lower,
        others // 2 + 1 AS upper,
        prices[lower + (lower >= place)::BIGINT] AS below,
        prices[upper + (upper >= place)::BIGINT] AS beyond,
        CASE WHEN others > 0 THEN below + (beyond - below) / 2 END AS median
    FROM placed
    JOIN sorted USING (market, minute)
),
judged AS (
    SELECT
        $rule::VARCHAR,
        metric,
        'price' AS measure,
        minute,
        price,
        median,
        abs(price - median) / median * 10000 AS apart,
        coalesce(others, 0),
        CASE
            WHEN why_not IS NOT NULL THEN why_not
            WHEN others < $others THEN 'too few others'
            WHEN abs(price - median) > $basis_points / 10000 * median * (1 + 1e-9) THEN 'above'
            ELSE 'not above'
        END AS verdict
    FROM candidates
    LEFT JOIN medians USING (metric, minute)
    WHERE {{wanted}}
)
FROM judged
WHERE $only::VARCHAR IS NULL OR verdict = $only
