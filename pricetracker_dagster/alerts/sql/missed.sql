-- What is missed, as islands of consecutive minutes of one cause, of minutes that no incident covers yet.
-- $missing: (metric, first, last) of the minutes that are missing now. `causes`: what ticks noted, also of minutes that
-- were healed meanwhile. `incidents`: those of late. A minute that nobody has noted anything of counts only up to
-- $grace_ends: it may still come.
WITH missing AS (
    SELECT metric, unnest(generate_series(first, last, INTERVAL 1 MINUTE)) AS minute
    FROM (SELECT unnest($missing::STRUCT(metric VARCHAR, first TIMESTAMPTZ, last TIMESTAMPTZ)[], recursive := true))
),
known AS (
    SELECT metric, minute, true AS absent
    FROM missing
    UNION ALL
    SELECT metric, minute, false AS absent
    FROM causes
    ANTI JOIN missing USING (metric, minute)
),
covered AS (
    SELECT unnest(metrics) AS metric, first, last, state = 'open' AS is_open
    FROM incidents
),
missed AS (
    SELECT known.metric, known.minute, known.absent, coalesce(causes.cause, $not_run) AS cause, reason
    FROM known
    LEFT JOIN causes USING (metric, minute)
    WHERE
        (causes.cause IS NOT NULL OR known.minute <= $grace_ends)
        AND NOT EXISTS (
            FROM covered
            WHERE
                covered.metric = known.metric
                AND known.minute BETWEEN covered.first AND covered.last
                AND (covered.is_open OR NOT known.absent)
        )
),
numbered AS (
    SELECT *, epoch(minute)::BIGINT // 60 - dense_rank() OVER (PARTITION BY cause ORDER BY minute) AS island
    FROM missed
)
SELECT
    cause,
    arg_min(reason, metric),
    min(minute),
    max(minute),
    list(DISTINCT metric),
    count(*) FILTER (absent)
FROM numbered
GROUP BY cause, island
ORDER BY min(minute), cause
