INSERT INTO kept_1.hours
SELECT each.hour, each.since, each.whole, each.files, each.numbers
FROM (
    SELECT unnest(
        $hours::STRUCT(hour INTEGER, since TIMESTAMPTZ, whole BOOLEAN, files VARCHAR[], numbers INTEGER[])[]
    ) AS each
)
