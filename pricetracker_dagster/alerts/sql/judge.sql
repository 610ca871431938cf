-- Judge one measure of the metrics in `candles` by one rule: a row a metric and minute from $first to $last.
--
-- The average is over the $window minutes before the minute judged, by time: a count of rows would reach too far back
-- where minutes are missing. For that, each candle counts for the judged minutes of its own span of $window minutes and
-- of the next one, which is a join of equals, and quick for one minute of many metrics as for years of a few.
-- A value must exceed the limit by more than 1e-9 of it: less is what binary arithmetic makes of decimals.
-- NaN and infinity are no values. favg() adds without losing digits. What comes out is a rules.Verdict.
WITH measured AS (
    SELECT
        metric,
        epoch(minute)::BIGINT // 60 AS minute,
        measure_of($measure, open, close, volume) AS value
    FROM candles
    WHERE list_bool_or([metric GLOB pattern FOR pattern IN $patterns::VARCHAR[]])
),
judged AS (
    SELECT
        metric,
        minute,
        minute // $window AS span,
        CASE WHEN isfinite(value) THEN value END AS value
    FROM measured
    WHERE minute BETWEEN epoch($first::TIMESTAMPTZ)::BIGINT // 60 AND epoch($last::TIMESTAMPTZ)::BIGINT // 60
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
),
compared AS (
    SELECT metric, minute, value, average, coalesce(points, 0) AS points
    FROM judged
    LEFT JOIN averaged USING (metric, minute)
)
SELECT *
FROM (
    SELECT
        $rule::VARCHAR AS rule,
        metric,
        $measure::VARCHAR AS measure,
        to_timestamp(minute * 60) AS minute,
        value,
        average,
        abs(value) / nullif(average, 0) AS ratio,
        points,
        CASE
            WHEN value IS NULL THEN 'no value'
            WHEN points < $min_points THEN 'too few points'
            WHEN average <= $min_average THEN 'average too small'
            WHEN abs(value) > $factor * average * (1 + 1e-9) THEN 'above'
            ELSE 'not above'
        END AS verdict
    FROM compared
)
WHERE $only::VARCHAR IS NULL OR verdict = $only
