SELECT "partition.date"::DATE, num_records
FROM actions
