-- Of each open incident: how many of its minutes, added over its metrics, are missing still.
WITH missing AS (
    SELECT unnest($missing::STRUCT(metric VARCHAR, first TIMESTAMPTZ, last TIMESTAMPTZ)[], recursive := true)
),
covered AS (
    SELECT id, unnest(metrics) AS metric, first, last
    FROM incidents
    WHERE state = 'open'
)
SELECT id, sum(epoch(least(missing.last, covered.last) - greatest(missing.first, covered.first)) / 60 + 1)::BIGINT
FROM covered
JOIN missing
    ON covered.metric = missing.metric
    AND missing.first <= covered.last
    AND missing.last >= covered.first
GROUP BY id
