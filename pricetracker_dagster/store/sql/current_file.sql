SELECT
    epoch(as_of),
    rows,
    metrics,
    (SELECT coalesce(sum(observations), 0)::BIGINT FROM available_metrics),
    schema_version,
    versions,
    tracked,
    folder
FROM snapshot, sources
