SELECT hour, epoch(since), kind, files, numbers
FROM previous.kept_3.hours
