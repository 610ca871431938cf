SELECT hour, content
FROM kept_2.parts
JOIN kept_2.hours USING (hour)
WHERE kind = 'partials'
ORDER BY hour
