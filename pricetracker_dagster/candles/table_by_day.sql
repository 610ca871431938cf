-- The UTC days that `candles` has minutes of, and the first and last of these.
SELECT minute::DATE AS day, min(minute), max(minute)
FROM candles
WHERE minute BETWEEN $first AND $last
GROUP BY day
ORDER BY day
