INSERT INTO missed_minutes
SELECT metric, unnest(generate_series(first, last, INTERVAL 1 MINUTE)) AS minute
FROM (
    SELECT unnest($missed::STRUCT(metric VARCHAR, first TIMESTAMPTZ, last TIMESTAMPTZ)[], recursive := true)
)
ORDER BY metric, minute;
