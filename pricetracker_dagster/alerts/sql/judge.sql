-- Judge one measure of the metrics in `candles` by one rule: a row a metric and minute from $first to $last.
--
-- The average is over the $window minutes before the minute judged, by time: a count of rows would reach too far back
-- where minutes are missing. For that, each candle counts for the judged minutes of its own span of $window minutes and
-- of the next one, which is a join of equals, and quick for one minute of many metrics as for years of a few.
-- NaN and infinity are no values. favg() adds without losing digits.
INSERT INTO verdicts
WITH measured AS (
    SELECT
        metric,
        epoch(minute)::BIGINT // 60 AS minute,
        CASE $measure
            WHEN 'price' THEN close
            WHEN 'volume' THEN volume
            WHEN 'change_absolute' THEN close - open
            WHEN 'change_percentage' THEN (close - open) / nullif(open, 0) * 100
        END AS value
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
compared AS (
    SELECT
        judged.metric,
        judged.minute,
        any_value(judged.value) AS value,
        favg(earlier.magnitude) AS average,
        count(earlier.magnitude) AS points
    FROM judged
    LEFT JOIN earlier
        ON judged.metric = earlier.metric
        AND judged.span = earlier.span
        AND earlier.minute BETWEEN judged.minute - $window AND judged.minute - 1
    GROUP BY judged.metric, judged.minute
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
            WHEN abs(value) > $factor * average THEN 'above'
            ELSE 'not above'
        END AS verdict
    FROM compared
)
WHERE $only::VARCHAR IS NULL OR verdict = $only
