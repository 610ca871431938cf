DELETE FROM verdicts
USING (SELECT unnest($begins::STRUCT(metric VARCHAR, begin TIMESTAMPTZ)[], recursive := true)) AS later
WHERE verdicts.metric = later.metric AND verdicts.minute < later.begin
