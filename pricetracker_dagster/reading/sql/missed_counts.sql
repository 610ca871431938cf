-- How many minutes of the last 24 hours each metric lacks, also where that is none or where it has none.
SELECT metric, count(missed_minutes.minute) AS minutes
FROM (SELECT DISTINCT metric FROM available_metrics)
FULL JOIN missed_minutes USING (metric)
GROUP BY metric
ORDER BY metric
