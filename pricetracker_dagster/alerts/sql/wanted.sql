list_bool_or([metric GLOB pattern FOR pattern IN $patterns::VARCHAR[]])
AND ($metrics::VARCHAR[] IS NULL OR metric IN (SELECT unnest($metrics::VARCHAR[])))
