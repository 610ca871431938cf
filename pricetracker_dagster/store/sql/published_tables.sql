CREATE TABLE snapshot (
    as_of TIMESTAMPTZ,
    published_at TIMESTAMPTZ,
    metrics BIGINT,
    rows BIGINT,
    schema_version INTEGER
);
CREATE TABLE metric_rank (
    measure VARCHAR,
    rank BIGINT,
    "of" BIGINT,
    metric VARCHAR,
    stddev DOUBLE,
    mean DOUBLE,
    relative_stddev DOUBLE,
    observations BIGINT,
    as_of TIMESTAMPTZ
);
CREATE TABLE available_metrics (
    metric VARCHAR,
    measure VARCHAR,
    observations BIGINT,
    first_minute TIMESTAMPTZ,
    last_minute TIMESTAMPTZ,
    last_value DOUBLE
);
CREATE TABLE missed_minutes (metric VARCHAR, minute TIMESTAMPTZ, cause VARCHAR);
CREATE TABLE sources (versions BIGINT[], tracked VARCHAR[], folder VARCHAR);
