-- One OHLCVT file as it is written: text, nothing judged yet. A line of another width is NULL-padded and refused later.
CREATE OR REPLACE TEMP TABLE raw AS
SELECT
    $metric::VARCHAR AS metric,
    unix,
    open,
    high,
    low,
    close,
    volume,
    trades,
    $fetched_at::TIMESTAMPTZ AS fetched_at
FROM read_csv(
    $path,
    header = false,
    delim = ',',
    all_varchar = true,
    null_padding = true,
    auto_detect = false,
    hive_partitioning = false, -- a folder called "unix=1" is a folder
    columns = {
        'unix': 'VARCHAR', 'open': 'VARCHAR', 'high': 'VARCHAR', 'low': 'VARCHAR', 'close': 'VARCHAR', 'volume': 'VARCHAR',
        'trades': 'VARCHAR'
    }
);
