INSERT INTO kept_2.parts
FROM previous.kept_2.parts
WHERE hour BETWEEN $first AND $last
