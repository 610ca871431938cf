-- First and last minute, in Unix seconds, of each silence longer than $longest (seconds) between two lines of a file.
SELECT epoch(before)::BIGINT + 60, epoch(minute)::BIGINT - 60
FROM (SELECT minute, lag(minute) OVER (ORDER BY minute) AS before FROM kept)
WHERE epoch(minute) - epoch(before) > $longest
ORDER BY minute
