INSERT INTO snapshot VALUES ($as_of::TIMESTAMPTZ, $published_at::TIMESTAMPTZ, 0, $rows, $schema_version);
