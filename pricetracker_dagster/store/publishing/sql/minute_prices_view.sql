CREATE OR REPLACE VIEW minute_prices AS
SELECT metric, minute, open, high, low, close, volume, trades, fetched_at
FROM {{all_files}};
