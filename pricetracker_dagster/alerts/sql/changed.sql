-- From which to which minute rows of each tracked metric were added or corrected.
--
-- $added: the new files; $replaced: the files that they replace, which hold the same rows where these were merely written
-- again. No list may be empty: where nothing was replaced, $replaced names any file and $any_replaced is false.
WITH added AS (
    SELECT metric, minute, open, close, volume
    FROM read_parquet($added, hive_partitioning = false)
    WHERE minute BETWEEN $oldest AND $newest AND list_contains($tracked::VARCHAR[], metric)
),
replaced AS (
    SELECT metric, minute, open, close, volume
    FROM read_parquet($replaced, hive_partitioning = false)
    WHERE $any_replaced AND minute BETWEEN $oldest AND $newest
)
SELECT metric, min(minute), max(minute)
FROM (FROM added EXCEPT FROM replaced)
GROUP BY metric
