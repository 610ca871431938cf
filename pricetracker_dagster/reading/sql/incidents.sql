FROM incidents
WHERE (state <> 'resolved' OR NOT $only_open) AND ($since::TIMESTAMPTZ IS NULL OR last >= $since)
ORDER BY first DESC, cause
