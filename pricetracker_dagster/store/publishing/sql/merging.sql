-- Of equal values the mean is that value and M2 is 0, exactly, however they were added up.
CREATE OR REPLACE TEMP MACRO all_equal(x) AS min(x) = max(x) AND isfinite(min(x));
CREATE OR REPLACE TEMP MACRO mean_of(x) AS CASE WHEN all_equal(x) THEN min(x) ELSE avg(x) END;
CREATE OR REPLACE TEMP MACRO m2_of(x) AS CASE WHEN all_equal(x) THEN 0.0 ELSE var_pop(x) * count(x) END;
