-- What the publisher keeps for its next file. A change of what these columns mean takes another name: kept_4.
CREATE SCHEMA kept_3;

-- How tables and views were laid out, by digests.
CREATE TABLE kept_3.layout (name VARCHAR, digest VARCHAR);

-- Which hours (since 1970, UTC) are kept, from which minute on, as what and of which Parquet files.
CREATE TABLE kept_3.hours (hour INTEGER, since TIMESTAMPTZ, kind VARCHAR, files VARCHAR[], numbers INTEGER[]);

-- How columns are compressed is said here: to look for the best way takes longer than to write them.
CREATE TABLE kept_3.rows (
    metric VARCHAR USING COMPRESSION dictionary,
    minute TIMESTAMPTZ USING COMPRESSION bitpacking,
    open DOUBLE USING COMPRESSION uncompressed,
    close DOUBLE USING COMPRESSION uncompressed,
    volume DOUBLE USING COMPRESSION uncompressed,
    file INTEGER USING COMPRESSION bitpacking
);

-- Arrow streams: of an hour that is kept as rows the partials of each metric,
-- and without an hour the partials of all whole hours merged: partials.py has the columns.
CREATE TABLE kept_3.parts (hour INTEGER USING COMPRESSION bitpacking, content BLOB USING COMPRESSION uncompressed);
