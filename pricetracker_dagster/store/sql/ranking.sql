SELECT measure, rank, "of", metric, stddev, mean, relative_stddev, observations
FROM metric_rank
ORDER BY list_position(['price', 'volume', 'change_absolute', 'change_percentage'], measure), rank
