SELECT measure, rank, "of", metric, stddev, mean, relative_stddev, observations, as_of
FROM metric_rank
ORDER BY list_position(['price', 'volume', 'change_absolute', 'change_percentage'], measure), rank
