FROM missed_minutes
WHERE $metric IS NULL OR metric = $metric
ORDER BY metric, minute
