SELECT path, num_records, size_bytes, "partition.date"::DATE, epoch("min.minute"), epoch("max.minute")
FROM actions
