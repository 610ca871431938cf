-- Ranges of whole UTC days of some $rows rows each.
WITH days AS (
    SELECT minute::DATE AS day, count(*) AS rows
    FROM candles
    GROUP BY day
),
numbered AS (
    SELECT day, (sum(rows) OVER (ORDER BY day) - rows) // $rows AS chunk
    FROM days
)
SELECT min(day), max(day)
FROM numbered
GROUP BY chunk
ORDER BY chunk
