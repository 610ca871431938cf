SELECT metric, epoch(minute), problem, concat_ws(',', open, high, low, close, volume, trades)
FROM (
    SELECT *, candle_problem(epoch(minute), open, high, low, close, volume, trades) AS problem
    FROM read_parquet($files, hive_partitioning = false)
    WHERE minute BETWEEN $first AND $last
)
WHERE problem IS NOT NULL
ORDER BY metric, minute
