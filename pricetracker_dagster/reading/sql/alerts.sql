FROM alerts
WHERE
    (state <> 'resolved' OR NOT $only_open)
    AND ($since::TIMESTAMPTZ IS NULL OR last_minute >= $since)
    AND ($metric IS NULL OR metric = $metric)
ORDER BY minute DESC, rule, metric, measure
