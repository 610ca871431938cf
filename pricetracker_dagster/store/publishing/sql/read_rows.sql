INSERT INTO kept_3.rows
SELECT metric, minute, open, close, volume, number
FROM read_parquet($files, hive_partitioning = false, filename = true)
JOIN (SELECT unnest($names::VARCHAR[]) AS filename, unnest($numbers::INTEGER[]) AS number) USING (filename)
WHERE minute BETWEEN $first AND $last
