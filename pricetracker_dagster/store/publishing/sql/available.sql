-- `measured` comes in the order of metrics and measures.
INSERT INTO available_metrics
SELECT
    metric,
    [{{measures}}][place],
    observations,
    to_timestamp(first_minute::BIGINT * 60),
    to_timestamp(last_minute::BIGINT * 60),
    last_value
FROM measured
