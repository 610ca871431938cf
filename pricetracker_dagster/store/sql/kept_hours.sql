SELECT hour, epoch(since), whole, files, numbers
FROM previous.kept_1.hours
