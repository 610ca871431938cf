INSERT INTO kept_1.rows
FROM previous.kept_1.rows
SEMI JOIN (SELECT unnest($files::VARCHAR[]) AS file) USING (file)
WHERE minute BETWEEN $first AND $last
