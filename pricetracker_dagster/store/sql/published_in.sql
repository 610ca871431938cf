-- Of which data folder a file was made.
SELECT folder
FROM sources
