-- The files that the views of a published file read, or one of them.
SELECT list_transform(
    regexp_extract_all(sql, '''((?:[^'']|'''')+\.parquet)''', 1), lambda path : replace(path, '''''', '''')
)
FROM duckdb_views()
WHERE NOT internal AND database_name = current_database()
    AND ($view::VARCHAR IS NULL OR view_name = $view)
