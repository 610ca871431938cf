-- Of the minutes from $first to $last, and of one measure.
--
-- Each candle counts for the judged minutes of its own span of $window minutes and of the next one, which is a join of
-- equals, and quick for years of a few metrics.
WITH wanted AS (
    SELECT metric
    FROM (SELECT DISTINCT metric FROM candles)
    WHERE {{wanted}}
),
measured AS (
    SELECT
        metric,
        epoch(minute)::BIGINT // 60 AS minute,
        measure_of($measure, open, close, volume) AS value
    FROM candles
    SEMI JOIN wanted USING (metric)
    WHERE minute BETWEEN $first::TIMESTAMPTZ - to_minutes($window) AND $last::TIMESTAMPTZ
),
judged AS (
    SELECT
        metric,
        minute,
        minute // $window AS span,
        CASE WHEN isfinite(value) THEN value END AS value
    FROM measured
    WHERE minute >= epoch($first::TIMESTAMPTZ)::BIGINT // 60
),
earlier AS (
    SELECT metric, minute, abs(value) AS magnitude, unnest([minute // $window, minute // $window + 1]) AS span
    FROM measured
    WHERE isfinite(value)
),
minutes AS (
    SELECT DISTINCT minute, span
    FROM judged
),
averaged AS (
    SELECT earlier.metric, minutes.minute, favg(magnitude) AS average, count(*) AS points
    FROM earlier
    JOIN minutes
        ON earlier.span = minutes.span
        AND earlier.minute BETWEEN minutes.minute - $window AND minutes.minute - 1
    GROUP BY earlier.metric, minutes.minute
)
SELECT
    metric,
    to_timestamp(minute * 60) AS minute,
    $measure::VARCHAR AS measure,
    value,
    average,
    coalesce(points, 0) AS points
FROM judged
LEFT JOIN averaged USING (metric, minute)
