CREATE OR REPLACE VIEW {{name}} AS
SELECT
    facts.*,
    newest.who AS acknowledged_by,
    newest.made_at AS acknowledged_at
FROM {{rows}} AS facts
LEFT JOIN (
    SELECT
        fact,
        arg_max(who, made_at) AS who,
        max(made_at) AS made_at
    FROM {{acknowledgements}}
    GROUP BY fact
) AS newest
    ON facts.id = newest.fact AND facts.{{began}} <= newest.made_at;
