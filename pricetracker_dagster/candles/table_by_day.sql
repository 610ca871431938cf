-- The UTC days that `candles` has minutes of, how many rows, and the first and last of these.
SELECT minute::DATE AS day, count(*), min(minute), max(minute)
FROM candles
WHERE minute BETWEEN $first AND $last
GROUP BY day
ORDER BY day
