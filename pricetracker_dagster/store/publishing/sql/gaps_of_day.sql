-- First and last minute, in Unix seconds, of each range of $first to $last in which one of $metrics has no row, by the
-- bits of the minutes that are present (presence: metric, hour, present): the rows are not read.
WITH expected AS (
    SELECT
        (epoch_us(minute) // 3_600_000_000)::INTEGER AS hour,
        bit_or(1::UBIGINT << (epoch_us(minute) // 60_000_000 % 60)::UTINYINT) AS bits
    FROM (SELECT unnest(generate_series($first::TIMESTAMPTZ, $last::TIMESTAMPTZ, INTERVAL 1 MINUTE)) AS minute)
    GROUP BY hour
),
absent AS (
    SELECT metric, hour, bits & ~coalesce(present, 0::UBIGINT) AS bits
    FROM (SELECT unnest($metrics::VARCHAR[]) AS metric)
    CROSS JOIN expected
    LEFT JOIN presence USING (metric, hour)
    WHERE bits & ~coalesce(present, 0::UBIGINT) <> 0
),
minutes AS (
    SELECT metric, (hour * 60 + bit) AS minute
    FROM absent
    CROSS JOIN (SELECT unnest(range(60)) AS bit)
    WHERE (bits >> bit::UTINYINT) & 1 = 1
)
SELECT metric, min(minute) * 60, max(minute) * 60
FROM (SELECT *, minute - row_number() OVER (PARTITION BY metric ORDER BY minute) AS run FROM minutes)
GROUP BY metric, run
ORDER BY metric, min(minute)
