SELECT metric, minute
FROM candles
GROUP BY metric, minute
HAVING count(*) > 1
LIMIT 1
