-- The rows of `candles` whose minute lies in one of $spans (first, last).
SELECT *
FROM candles
WHERE EXISTS (
    FROM (SELECT unnest($spans::STRUCT(first TIMESTAMPTZ, last TIMESTAMPTZ)[], recursive := true)) AS spans
    WHERE candles.minute BETWEEN spans.first AND spans.last
)
