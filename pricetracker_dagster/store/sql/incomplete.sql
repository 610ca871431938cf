-- Which of the tracked metrics, or of all where none are named, have fewer than $minutes rows in the last 24 hours.
SELECT metric
FROM (SELECT unnest($tracked::VARCHAR[]) AS metric UNION SELECT metric FROM measured WHERE $tracked IS NULL)
LEFT JOIN (SELECT metric, observations FROM measured WHERE measure = 'price') USING (metric)
WHERE coalesce(observations, 0) < $minutes
ORDER BY metric
