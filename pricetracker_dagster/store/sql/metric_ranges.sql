-- First and last metric of ranges of metrics with some $rows rows each, in the order of their names.
WITH metrics AS (
    SELECT metric, count(*) AS rows
    FROM read_parquet($files, hive_partitioning = false)
    GROUP BY metric
),
numbered AS (
    SELECT *, (sum(rows) OVER (ORDER BY metric) - rows) // $rows AS range
    FROM metrics
)
SELECT min(metric), max(metric)
FROM numbered
GROUP BY range
ORDER BY range
