-- One OHLCVT file as it is written: text, nothing validated yet. One line is one row, whatever quotes are in it: a line of
-- another width is rejected later, and so is one that DuckDB cannot take (no UTF-8, megabytes long), named by its beginning.
CREATE OR REPLACE TEMP MACRO unquoted(cell) AS
    CASE WHEN starts_with(cell, '"') AND ends_with(cell, '"') THEN trim(cell, '"') ELSE cell END;

CREATE OR REPLACE TEMP TABLE raw AS
SELECT
    $metric::VARCHAR AS metric,
    unquoted(unix) AS unix,
    unquoted(open) AS open,
    unquoted(high) AS high,
    unquoted(low) AS low,
    unquoted(close) AS close,
    unquoted(volume) AS volume,
    -- with an eighth column it is no number, so that the line is rejected
    CASE WHEN more IS NULL THEN unquoted(trades) ELSE concat_ws(',', trades, more) END AS trades,
    $fetched_at::TIMESTAMPTZ AS fetched_at
FROM read_csv(
    $path,
    header = false,
    delim = ',',
    quote = '',
    escape = '',
    all_varchar = true,
    null_padding = true,
    strict_mode = false, -- lines may end in \n, \r\n and \r, in one file
    store_rejects = true,
    auto_detect = false,
    hive_partitioning = false, -- a folder called "unix=1" is a folder
    columns = {
        'unix': 'VARCHAR', 'open': 'VARCHAR', 'high': 'VARCHAR', 'low': 'VARCHAR', 'close': 'VARCHAR', 'volume': 'VARCHAR',
        'trades': 'VARCHAR', 'more': 'VARCHAR'
    }
);
