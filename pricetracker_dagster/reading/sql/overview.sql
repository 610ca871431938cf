-- A row a metric for a table that people look at: its rank, its newest value, its change, its shape over 24 hours.
WITH ends AS (
    SELECT (SELECT as_of FROM snapshot) AS as_of
),
halves AS (
    SELECT
        metric,
        47 - (epoch(ends.as_of)::BIGINT - epoch(minute)::BIGINT) // 1800 AS half,
        avg(value) AS value
    FROM history_24h, ends
    WHERE measure = $measure
    GROUP BY ALL
),
shapes AS (
    SELECT
        metric,
        map_from_entries(list((half, value))) AS by_half,
        min(value) AS low,
        max(value) AS high
    FROM halves
    GROUP BY metric
),
moves AS (
    SELECT metric, (arg_max(value, minute) - arg_min(value, minute)) / nullif(arg_min(value, minute), 0) * 100 AS moved
    FROM history_24h
    WHERE measure = 'price'
    GROUP BY metric
),
alarms AS (
    SELECT metric, count(*) AS firing
    FROM alerts
    WHERE state = 'firing'
    GROUP BY metric
)
SELECT
    ranked.rank,
    ranked."of",
    metric,
    available.last_value,
    available.last_minute,
    CASE WHEN isfinite(moves.moved) THEN moves.moved END AS change_24h_percent,
    ranked.stddev,
    ranked.mean,
    ranked.relative_stddev,
    ranked.observations,
    list_transform(
        range(48),
        lambda half : CASE
            WHEN shapes.high > shapes.low THEN round((by_half[half] - low) / (high - low) * 100)::INTEGER
            WHEN by_half[half] IS NOT NULL THEN 50
        END
    ) AS sparkline,
    coalesce(alarms.firing, 0) AS firing
FROM metric_rank AS ranked
JOIN available_metrics AS available USING (metric, measure)
LEFT JOIN shapes USING (metric)
LEFT JOIN moves USING (metric)
LEFT JOIN alarms USING (metric)
WHERE ranked.measure = $measure
ORDER BY ranked.rank
