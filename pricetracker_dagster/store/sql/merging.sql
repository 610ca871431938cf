-- Of equal values the mean is that value and M2 is 0, exactly, however they were added up.
CREATE OR REPLACE TEMP MACRO all_equal(x) AS min(x) = max(x) AND isfinite(min(x));
CREATE OR REPLACE TEMP MACRO mean_of(x) AS CASE WHEN all_equal(x) THEN min(x) ELSE avg(x) END;
CREATE OR REPLACE TEMP MACRO m2_of(x) AS CASE WHEN all_equal(x) THEN 0.0 ELSE var_pop(x) * count(x) END;

-- The formula of Chan, Golub and LeVeque (1979) for any number of parts. Nothing is ever subtracted from a sum: what a
-- sum of large squares has lost in rounding would stay.
CREATE OR REPLACE TEMP MACRO merged_mean(mean, n) AS
    CASE WHEN all_equal(mean) THEN min(mean) ELSE sum(n * mean) / sum(n) END;
CREATE OR REPLACE TEMP MACRO merged_m2(m2, n, mean, of_all) AS sum(m2 + n * (mean - of_all) * (mean - of_all));
CREATE OR REPLACE TEMP MACRO deviation(m2, n) AS CASE WHEN n > 1 THEN sqrt(m2 / (n - 1)) END;
