INSERT INTO kept_3.rows
FROM previous.kept_3.rows
WHERE minute BETWEEN $first AND $last AND (len($gone::INTEGER[]) = 0 OR NOT list_contains($gone::INTEGER[], file))
