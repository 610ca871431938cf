-- Add to `raw` the lines that read_csv could not take, by their beginning: they are validated, named and rejected like others.
INSERT INTO raw (metric, unix, open, fetched_at)
SELECT DISTINCT ON (line)
    $metric,
    split_part(csv_line, ',', 1),
    substr(csv_line, nullif(instr(csv_line, ','), 0) + 1),
    $fetched_at
FROM reject_errors
ORDER BY line;
