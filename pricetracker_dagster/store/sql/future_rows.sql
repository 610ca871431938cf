SELECT metric, epoch(minute), concat_ws(',', open, high, low, close, volume, trades)
FROM read_parquet($files, hive_partitioning = false)
WHERE minute BETWEEN $first AND $last
ORDER BY metric, minute
