SELECT measure, rank, "of", metric, stddev, mean, relative_stddev, observations, as_of
FROM metric_rank
WHERE measure = $measure OR $measure IS NULL
ORDER BY list_position($measures::VARCHAR[], measure), rank
