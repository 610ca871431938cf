-- What the publisher keeps for its next file. A change of what these columns mean takes another name: kept_2.
CREATE SCHEMA kept_1;

-- How tables and views were laid out, by digests.
CREATE TABLE kept_1.layout (name VARCHAR, digest VARCHAR);

-- Which hours (since 1970, UTC) are kept, from which minute on, of which Parquet files; as partials where it is whole, else as rows.
CREATE TABLE kept_1.hours (hour INTEGER, since TIMESTAMPTZ, whole BOOLEAN, files VARCHAR[], numbers INTEGER[]);

-- How columns are compressed is said here: to look for the best way takes longer than to write them.
CREATE TABLE kept_1.rows (
    metric VARCHAR USING COMPRESSION dictionary,
    minute TIMESTAMPTZ USING COMPRESSION bitpacking,
    open DOUBLE USING COMPRESSION uncompressed,
    close DOUBLE USING COMPRESSION uncompressed,
    volume DOUBLE USING COMPRESSION uncompressed,
    file INTEGER USING COMPRESSION bitpacking
);

-- A row a metric and hour: of each measure the mean, the sum of squared distances from it (M2) and the last value;
-- `present` has bit m set where the hour's minute m has a row. The columns are those of partials.sql.
CREATE TABLE kept_1.partials (
    metric VARCHAR USING COMPRESSION dictionary,
    hour INTEGER USING COMPRESSION bitpacking,
    present UBIGINT USING COMPRESSION bitpacking,
    observations UTINYINT USING COMPRESSION bitpacking,
    first_minute TIMESTAMPTZ USING COMPRESSION bitpacking,
    last_minute TIMESTAMPTZ USING COMPRESSION bitpacking,
    percentages UTINYINT USING COMPRESSION bitpacking,
    first_percentage TIMESTAMPTZ USING COMPRESSION bitpacking,
    last_percentage TIMESTAMPTZ USING COMPRESSION bitpacking,
    price_mean DOUBLE USING COMPRESSION uncompressed,
    price_m2 DOUBLE USING COMPRESSION uncompressed,
    price_last DOUBLE USING COMPRESSION uncompressed,
    volume_mean DOUBLE USING COMPRESSION uncompressed,
    volume_m2 DOUBLE USING COMPRESSION uncompressed,
    volume_last DOUBLE USING COMPRESSION uncompressed,
    absolute_mean DOUBLE USING COMPRESSION uncompressed,
    absolute_m2 DOUBLE USING COMPRESSION uncompressed,
    absolute_last DOUBLE USING COMPRESSION uncompressed,
    percentage_mean DOUBLE USING COMPRESSION uncompressed,
    percentage_m2 DOUBLE USING COMPRESSION uncompressed,
    percentage_last DOUBLE USING COMPRESSION uncompressed
);

-- The partials of all whole hours merged, with the columns of merged.sql.
CREATE TABLE kept_1.middle (
    metric VARCHAR,
    observations BIGINT,
    first_minute TIMESTAMPTZ,
    last_minute TIMESTAMPTZ,
    percentages BIGINT,
    first_percentage TIMESTAMPTZ,
    last_percentage TIMESTAMPTZ,
    price_mean DOUBLE,
    price_m2 DOUBLE,
    price_last DOUBLE,
    volume_mean DOUBLE,
    volume_m2 DOUBLE,
    volume_last DOUBLE,
    absolute_mean DOUBLE,
    absolute_m2 DOUBLE,
    absolute_last DOUBLE,
    percentage_mean DOUBLE,
    percentage_m2 DOUBLE,
    percentage_last DOUBLE
);
