SELECT rule, metric, measure, minute
FROM verdicts
SEMI JOIN (
    SELECT unnest($series::STRUCT(rule VARCHAR, metric VARCHAR, measure VARCHAR)[], recursive := true)
) USING (rule, metric, measure)
WHERE verdict = 'not above'
