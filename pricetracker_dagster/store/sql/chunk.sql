SELECT *, minute::DATE AS date
FROM candles
WHERE minute::DATE BETWEEN $first_day AND $last_day
ORDER BY metric, minute
