INSERT INTO kept_1.partials
FROM previous.kept_1.partials
WHERE hour BETWEEN $first AND $last
