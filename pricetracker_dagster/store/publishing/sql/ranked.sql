-- `measured` comes in the order of measures and ranks.
INSERT INTO metric_rank
SELECT
    [{{measures}}][place],
    rank,
    "of",
    metric,
    CASE WHEN observations > 1 THEN stddev END AS stddev,
    mean,
    CASE WHEN observations > 1 THEN measured.stddev END / nullif(abs(mean), 0) AS relative_stddev,
    observations,
    $as_of::TIMESTAMPTZ
FROM measured
