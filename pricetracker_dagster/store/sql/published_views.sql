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

CREATE VIEW alerts AS
SELECT
    facts.*,
    newest.who AS acknowledged_by,
    newest.made_at AS acknowledged_at
FROM {{alerts}} AS facts
LEFT JOIN (
    SELECT
        fact,
        arg_max(who, made_at) AS who,
        max(made_at) AS made_at
    FROM {{acknowledgements}}
    GROUP BY fact
) AS newest
    ON facts.id = newest.fact AND facts.fired_at <= newest.made_at;

CREATE VIEW messages AS
FROM {{messages}};

CREATE VIEW deliveries AS
FROM {{deliveries}};

CREATE VIEW incidents AS
SELECT
    facts.*,
    newest.who AS acknowledged_by,
    newest.made_at AS acknowledged_at
FROM {{incidents}} AS facts
LEFT JOIN (
    SELECT
        fact,
        arg_max(who, made_at) AS who,
        max(made_at) AS made_at
    FROM {{acknowledgements}}
    GROUP BY fact
) AS newest
    ON facts.id = newest.fact AND facts.opened_at <= newest.made_at;

CREATE VIEW silences AS
FROM {{silences}};

CREATE VIEW acknowledgements AS
FROM {{acknowledgements}};
