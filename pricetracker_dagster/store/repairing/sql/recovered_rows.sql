-- One row a key: of the files that belong to the table the newest, and where they have none, of those that were replaced.
WITH files AS (
    SELECT unnest($files::STRUCT(filename VARCHAR, name VARCHAR, live BOOLEAN, written BIGINT)[], recursive := true)
),
ours AS (
    SELECT found.*, name, live, written
    FROM {{ours}} AS found JOIN files USING (filename)
    WHERE live OR {{minute}} IS NULL OR ({{minute}} <= $latest::TIMESTAMPTZ AND {{minute}}::DATE = $day::DATE)
),
best AS (
    SELECT *
    FROM ours
    WHERE NOT $only_absent
    QUALIFY row_number() OVER (PARTITION BY {{key}} ORDER BY {{newest_by}} DESC NULLS LAST, live DESC, written DESC) = 1
),
absent AS (
    SELECT found.*, name, live, written
    FROM {{former}} AS found JOIN files USING (filename)
    ANTI JOIN ours USING ({{key}})
    WHERE {{minute}} IS NULL OR ({{minute}} <= $latest::TIMESTAMPTZ AND {{minute}}::DATE = $day::DATE)
    QUALIFY row_number() OVER (PARTITION BY {{key}} ORDER BY {{newest_by}} DESC NULLS LAST, written DESC) = 1
)
SELECT * EXCLUDE (filename, name, live, written), name AS _file
FROM (FROM best UNION ALL BY NAME FROM absent)
ORDER BY {{key}}
