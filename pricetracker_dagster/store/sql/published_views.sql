CREATE VIEW minute_prices AS
SELECT metric, minute, open, high, low, close, volume, trades, fetched_at
FROM {{all_files}};

-- One pass over the minutes, whichever measures are asked for. Hours that are not whole are kept in this file as rows.
CREATE VIEW history_24h AS
SELECT metric, measure, minute, measure_of(measure, open, close, volume) AS value
FROM (
    SELECT metric, minute, open, close, volume
    FROM kept_1.rows
    UNION ALL
    SELECT metric, minute, open, close, volume
    FROM {{whole_hours}}
)
CROSS JOIN (VALUES {{measures}}) AS measures (measure)
WHERE
    minute > (SELECT as_of FROM snapshot) - INTERVAL 24 HOURS
    AND minute <= (SELECT as_of FROM snapshot)
    AND value IS NOT NULL;
