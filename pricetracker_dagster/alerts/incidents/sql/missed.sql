-- What is missed: runs of consecutive minutes, those of the same minutes and causes with the metrics of one exchange that
-- they are of: what another says is no reason of its own.
--
-- $missing: (metric, first, last, since) of the minutes that are missing now; where no tick has noted anything of a
-- minute it counts only from when the metric was listed, and up to $grace_ends: it may still come. `causes`: what ticks
-- noted, also of minutes that were healed meanwhile. A run ends at each of $cuts, so that it is of one recorded incident
-- or of none.
WITH missing AS (
    SELECT metric, since, unnest(generate_series(first, last, INTERVAL 1 MINUTE)) AS minute
    FROM (
        SELECT unnest(
            $missing::STRUCT(metric VARCHAR, first TIMESTAMPTZ, last TIMESTAMPTZ, since TIMESTAMPTZ)[],
            recursive := true
        )
    )
),
missed AS (
    SELECT metric, minute, true AS absent, coalesce(causes.cause, $not_run) AS cause, reason
    FROM missing
    LEFT JOIN causes USING (metric, minute)
    WHERE causes.cause IS NOT NULL OR minute BETWEEN since AND $grace_ends
    UNION ALL
    SELECT metric, minute, false AS absent, cause, reason
    FROM causes
    ANTI JOIN missing USING (metric, minute)
),
parts AS (
    SELECT minute, (SELECT count(*) FROM unnest($cuts::TIMESTAMPTZ[]) AS cuts (cut) WHERE cut <= minute) AS part
    FROM (SELECT DISTINCT minute FROM missed)
),
numbered AS (
    SELECT
        missed.*,
        epoch(minute)::BIGINT // 60
        - row_number() OVER (PARTITION BY metric, absent, part ORDER BY minute) AS run,
        part
    FROM missed
    JOIN parts USING (minute)
),
counted AS (
    SELECT
        metric, absent, part, run, cause,
        count(*) AS minutes,
        min(minute) AS first,
        max(minute) AS last,
        arg_max(reason, minute) AS reason
    FROM numbered
    GROUP BY ALL
),
runs AS (
    SELECT
        metric,
        absent,
        min(first) AS first,
        max(last) AS last,
        list({cause: cause, minutes: minutes, first: first, last: last} ORDER BY first) AS causes,
        list(reason ORDER BY first) AS reasons
    FROM counted
    GROUP BY metric, absent, part, run
)
SELECT first, last, list(metric ORDER BY metric), causes, arg_min(reasons, metric), absent
FROM runs
GROUP BY first, last, causes, absent, split_part(metric, ':', 1)
ORDER BY first, last, causes, absent, min(metric)
