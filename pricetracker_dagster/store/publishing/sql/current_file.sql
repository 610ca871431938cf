SELECT
    epoch(as_of),
    rows,
    metrics,
    (SELECT coalesce(sum(observations), 0)::BIGINT FROM previous.available_metrics),
    schema_version,
    versions,
    tracked,
    folder,
    markets
FROM previous.snapshot, previous.sources
