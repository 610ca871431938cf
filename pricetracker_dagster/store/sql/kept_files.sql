SELECT DISTINCT unnest(files)
FROM kept_1.hours
