CREATE OR REPLACE VIEW {{name}} AS
FROM {{rows}};
