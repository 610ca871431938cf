-- The names of all tables and views of the previous file.
SELECT table_name
FROM duckdb_tables()
WHERE database_name = 'previous'
UNION ALL
SELECT view_name
FROM duckdb_views()
WHERE database_name = 'previous' AND NOT internal
