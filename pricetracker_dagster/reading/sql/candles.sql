-- Candles of any width. A bin without a stored minute is no row; `minutes` says how many of a bin's minutes are stored.
SELECT
    metric,
    to_timestamp(epoch(stored.minute)::BIGINT // $seconds * $seconds) AS minute,
    arg_min(stored.open, stored.minute) AS open,
    max(stored.high) AS high,
    min(stored.low) AS low,
    arg_max(stored.close, stored.minute) AS close,
    fsum(stored.volume) AS volume,
    -- a sum that leaves out minutes whose number is not told would be no number of trades
    CASE WHEN count(stored.trades) = count(stored.minute) THEN sum(stored.trades) END::BIGINT AS trades,
    count(*) AS minutes
FROM {{minutes}} AS stored
WHERE stored.metric = $metric AND stored.minute >= $start AND stored.minute < $end
GROUP BY 1, 2
ORDER BY 2
