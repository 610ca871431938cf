-- As matches() of candles/metric.py has it.
list_bool_or([
    CASE
        WHEN contains(metric, '/') = contains(pattern, '/') THEN metric GLOB pattern
        ELSE replace(metric, '/', '') GLOB replace(pattern, '/', '')
    END
    FOR pattern IN $patterns::VARCHAR[]
])
AND ($metrics::VARCHAR[] IS NULL OR metric IN (SELECT unnest($metrics::VARCHAR[])))
