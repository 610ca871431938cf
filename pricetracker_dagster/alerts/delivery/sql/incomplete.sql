-- What channels are owed and have not taken: a message a row, with the names of those channels.
--
-- `messages`, `sent`: the tables messages and deliveries of late. $channels: the names of those that are set.
WITH owed AS (
    SELECT id AS message, fact, event, unnest(channels) AS channel
    FROM messages
),
taken AS (
    SELECT id AS fact, event, channel
    FROM sent
    WHERE delivered
)
SELECT message, list(channel) AS channels
FROM owed
ANTI JOIN taken USING (fact, event, channel)
WHERE list_contains($channels::VARCHAR[], channel)
GROUP BY message
