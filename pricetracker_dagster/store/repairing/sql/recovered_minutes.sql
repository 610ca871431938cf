-- First and last minute, in Unix seconds, of each stretch of rows that are from some files.
WITH returned AS (
    SELECT metric, minute, row_number() OVER (PARTITION BY metric ORDER BY minute) AS n
    FROM rows
    WHERE list_contains($files::VARCHAR[], _file)
)
SELECT metric, epoch(min(minute))::BIGINT, epoch(max(minute))::BIGINT
FROM returned
GROUP BY metric, minute - n * INTERVAL 1 MINUTE
ORDER BY metric, min(minute)
