-- One pass over the minutes, whichever measures are asked for. The newest hours are kept in this file as rows.
CREATE OR REPLACE VIEW history_24h AS
SELECT metric, measure, minute, measure_of(measure, open, close, volume) AS value
FROM (
    SELECT metric, minute, open, close, volume
    FROM kept_3.rows
    WHERE {{in_window}}
    UNION ALL
    SELECT metric, minute, open, close, volume
    FROM {{other_hours}}
)
CROSS JOIN (VALUES {{measures}}) AS measures (measure)
WHERE value IS NOT NULL;
