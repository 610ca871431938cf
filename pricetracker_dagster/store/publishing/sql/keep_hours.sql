INSERT INTO kept_3.hours
SELECT each.hour, each.since, each.kind, each.files, each.numbers
FROM (
    SELECT unnest(
        $hours::STRUCT(hour INTEGER, since TIMESTAMPTZ, kind VARCHAR, files VARCHAR[], numbers INTEGER[])[]
    ) AS each
)
