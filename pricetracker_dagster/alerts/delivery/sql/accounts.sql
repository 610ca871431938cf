-- What matters of the attempts that were made, of which there may be many thousands: of each channel one a turn since
-- it last took something, and of each event that it has not taken the newest.
--
-- `sent`: the table deliveries of late.
WITH numbered AS (
    SELECT
        *,
        max(attempted_at) FILTER (WHERE delivered) OVER (PARTITION BY channel) AS last_taken,
        bool_or(delivered) OVER same AS is_taken,
        row_number() OVER (PARTITION BY channel, attempted_at, delivered ORDER BY attempt DESC, id, event) AS of_turn,
        row_number() OVER (same ORDER BY attempt DESC) AS of_event
    FROM sent
    WINDOW same AS (PARTITION BY id, event, channel)
)
SELECT id, event, channel, attempt, attempted_at, delivered, retry_at
FROM numbered
WHERE (of_turn = 1 AND (last_taken IS NULL OR attempted_at >= last_taken))
    OR (of_event = 1 AND NOT is_taken)
