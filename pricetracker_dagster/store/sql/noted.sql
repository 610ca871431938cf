-- The rows of `causes` for $gaps (metric, first, last), a row a minute.
SELECT
    metric,
    unnest(generate_series(first, last, INTERVAL 1 MINUTE)) AS minute,
    $cause::VARCHAR AS cause,
    $reason::VARCHAR AS reason,
    $noted_at::TIMESTAMPTZ AS noted_at
FROM (SELECT unnest($gaps::STRUCT(metric VARCHAR, first TIMESTAMPTZ, last TIMESTAMPTZ)[], recursive := true))
