SELECT epoch(min(minute))::BIGINT, epoch(max(minute))::BIGINT
FROM candles
WHERE minute::DATE BETWEEN $first_day AND $last_day
