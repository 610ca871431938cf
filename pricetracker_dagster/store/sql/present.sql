SELECT metrics, (SELECT coalesce(sum(observations), 0)::BIGINT FROM available_metrics)
FROM snapshot
