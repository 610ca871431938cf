SELECT hour, epoch(since), whole, files
FROM previous.kept_1.hours
