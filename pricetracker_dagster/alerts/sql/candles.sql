-- What judge.sql reads. $metrics: NULL for every metric.
CREATE OR REPLACE TEMP TABLE candles AS
SELECT metric, minute, open, close, volume
FROM read_parquet($files, hive_partitioning = false)
WHERE minute BETWEEN $first AND $last AND ($metrics IS NULL OR list_contains($metrics::VARCHAR[], metric));
