-- Where judge.sql puts what it finds; its columns are those of rules.Verdict.
CREATE OR REPLACE TEMP TABLE verdicts (
    rule VARCHAR,
    metric VARCHAR,
    measure VARCHAR,
    minute TIMESTAMPTZ,
    value DOUBLE,
    average DOUBLE,
    ratio DOUBLE,
    points BIGINT,
    verdict VARCHAR
)
