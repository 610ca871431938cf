SELECT DISTINCT unnest(files)
FROM kept_2.hours
