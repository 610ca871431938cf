-- Of one minute, $minute: all measures in one pass over the candles. What is filled in is a measure_value.sql and a
-- measure_compared.sql each.
SELECT metric, $minute::TIMESTAMPTZ AS minute, unnest(measures, recursive := true)
FROM (
    SELECT metric, [{{measures}}] AS measures
    FROM (
        SELECT metric, minute, {{values}}
        FROM candles
        WHERE minute BETWEEN $minute::TIMESTAMPTZ - to_minutes($window) AND $minute::TIMESTAMPTZ
    )
    GROUP BY metric
    HAVING max(minute) = $minute::TIMESTAMPTZ
)
WHERE {{wanted}}
