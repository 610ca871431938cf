INSERT INTO kept_1.rows
FROM previous.kept_1.rows
WHERE minute BETWEEN $first AND $last AND (len($gone::INTEGER[]) = 0 OR NOT list_contains($gone::INTEGER[], file))
