-- The files that the views of a published file read.
SELECT list_transform(
    regexp_extract_all(sql, '''((?:[^'']|'''')+\.parquet)''', 1), lambda path : replace(path, '''''', '''')
)
FROM duckdb_views()
WHERE NOT internal AND database_name = current_database()
