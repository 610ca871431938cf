INSERT INTO snapshot
VALUES ($as_of::TIMESTAMPTZ, $published_at::TIMESTAMPTZ, $metrics, $rows, $schema_version)
