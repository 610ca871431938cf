INSERT INTO metric_rank
SELECT
    measure,
    row_number() OVER (PARTITION BY measure ORDER BY stddev DESC NULLS LAST, metric) AS rank,
    count(*) OVER (PARTITION BY measure) AS "of",
    metric,
    stddev,
    mean,
    stddev / nullif(abs(mean), 0) AS relative_stddev,
    observations,
    (SELECT as_of FROM snapshot) AS as_of
FROM measured
ORDER BY measure, rank;

INSERT INTO available_metrics
SELECT metric, measure, observations, first_minute, last_minute, last_value
FROM measured
ORDER BY metric, list_position([{{measures}}], measure);

UPDATE snapshot SET metrics = (SELECT count(DISTINCT metric) FROM measured);
