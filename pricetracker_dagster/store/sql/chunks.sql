-- Ranges of whole UTC days of some $rows rows each, with their first and last minute in Unix seconds.
WITH days AS (
    SELECT minute::DATE AS day, count(*) AS rows, min(minute) AS first, max(minute) AS last
    FROM candles
    GROUP BY day
),
numbered AS (
    SELECT *, (sum(rows) OVER (ORDER BY day) - rows) // $rows AS chunk
    FROM days
)
SELECT min(day), max(day), epoch(min(first))::BIGINT, epoch(max(last))::BIGINT
FROM numbered
GROUP BY chunk
ORDER BY chunk
