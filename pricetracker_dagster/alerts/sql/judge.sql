-- Judge metrics by one rule: adds a row a metric, measure and minute to the table `verdicts`.
--
-- What is filled in for compared: metric, minute, measure, value, average and points of what is judged: compared_minute.sql for one minute of
-- many metrics, compared_minutes.sql for many minutes of one measure. Both read the view or table `candles` (metric,
-- minute, open, close, volume) and leave out what wanted.sql does not name. The average is over the $window minutes before
-- the minute judged, by time: a count of rows would reach too far back where minutes are missing. Changes count by their
-- magnitude. NaN and infinity are no values. favg() adds without losing digits.
-- A value must exceed the limit by more than 1e-9 of it: less is what binary arithmetic makes of decimals.
INSERT INTO verdicts
WITH compared AS (
    {{compared}}
),
judged AS (
    SELECT
        $rule::VARCHAR,
        metric,
        measure,
        minute,
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
FROM judged
WHERE $only::VARCHAR IS NULL OR verdict = $only
