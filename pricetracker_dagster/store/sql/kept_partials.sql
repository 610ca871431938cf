INSERT INTO kept_1.partials
FROM previous.kept_1.partials
SEMI JOIN (SELECT unnest($hours::INTEGER[]) AS hour) USING (hour)
