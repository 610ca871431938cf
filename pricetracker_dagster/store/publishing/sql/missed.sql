INSERT INTO missed_minutes
WITH missed AS (
    SELECT metric, unnest(generate_series(first, last, INTERVAL 1 MINUTE)) AS minute
    FROM (
        SELECT unnest($missed::STRUCT(metric VARCHAR, first TIMESTAMPTZ, last TIMESTAMPTZ)[], recursive := true)
    )
),
noted AS (
    SELECT metric, minute, cause
    FROM {{causes}}
    WHERE minute >= $first
)
SELECT metric, minute, coalesce(cause, $not_run)
FROM missed
LEFT JOIN noted USING (metric, minute)
ORDER BY metric, minute;
