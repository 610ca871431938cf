SELECT DISTINCT unnest(files)
FROM kept_3.hours
