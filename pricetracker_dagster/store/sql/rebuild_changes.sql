SELECT count(*)
FROM rows
WHERE NOT list_contains($live::VARCHAR[], _file)
