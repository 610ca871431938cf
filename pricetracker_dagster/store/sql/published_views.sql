CREATE VIEW minute_prices AS
SELECT metric, minute, open, high, low, close, volume, trades, fetched_at
FROM {{all_files}};

CREATE VIEW history_24h AS
WITH recent AS (
    SELECT metric, minute, open, close, volume
    FROM {{recent_files}}
    WHERE
        minute > (SELECT as_of FROM snapshot) - INTERVAL 24 HOURS
        AND minute <= (SELECT as_of FROM snapshot)
)
SELECT metric, 'price' AS measure, minute, measure_of('price', open, close, volume) AS value FROM recent
UNION ALL
SELECT metric, 'volume', minute, measure_of('volume', open, close, volume) FROM recent
UNION ALL
SELECT metric, 'change_absolute', minute, measure_of('change_absolute', open, close, volume) FROM recent
UNION ALL
SELECT metric, 'change_percentage', minute, measure_of('change_percentage', open, close, volume) AS value FROM recent
WHERE value IS NOT NULL;
