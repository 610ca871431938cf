-- What the publisher keeps for its next file. A change of what these columns mean takes another name: kept_2.
CREATE SCHEMA kept_1;

-- Which hours (since 1970, UTC) are kept, from which minute on, of which Parquet files; as partials where it is whole, else as rows.
CREATE TABLE kept_1.hours (hour INTEGER, since TIMESTAMPTZ, whole BOOLEAN, files VARCHAR[]);

CREATE TABLE kept_1.rows (
    metric VARCHAR, minute TIMESTAMPTZ, open DOUBLE, close DOUBLE, volume DOUBLE, file VARCHAR
);

-- A row a metric and hour: of each measure the mean, the sum of squared distances from it (M2) and the last value;
-- `present` has bit m set where the hour's minute m has a row. The columns are those of partials.sql.
CREATE TABLE kept_1.partials (
    metric VARCHAR,
    hour INTEGER,
    present UBIGINT,
    observations UTINYINT,
    first_minute TIMESTAMPTZ,
    last_minute TIMESTAMPTZ,
    percentages UTINYINT,
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
