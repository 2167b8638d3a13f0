-- How does the throughput move from night to night, and which nights are outside the band of the week before?
-- The band is the mean of the seven nights before plus and minus two standard deviations; it needs three nights.
-- model: a pattern of LIKE; batch_size; until, days: the days looked at.
\if :{?model}
\else
    \set model '%'
\endif
\if :{?batch_size}
\else
    \set batch_size 4
\endif
\if :{?until}
\else
    \set until today
\endif
\if :{?days}
\else
    \set days 90
\endif

WITH nightly AS (
    SELECT series_id, model, instance_type, hardware, replicas, night, avg(throughput_inf_per_s) AS throughput
    FROM throughput_history
    WHERE model LIKE :'model'
        AND batch_size = :batch_size
        AND origin = 'dag'
        AND night > :'until'::date - :days - 7
        AND night <= :'until'
    GROUP BY series_id, model, instance_type, hardware, replicas, night
),
banded AS (
    SELECT
        nightly.*,
        avg(throughput) OVER week_before AS mean,
        CASE WHEN count(*) OVER week_before >= 3 THEN 2 * stddev_samp(throughput) OVER week_before END AS spread
    FROM nightly
    WINDOW week_before AS (
        PARTITION BY series_id ORDER BY night
        RANGE BETWEEN INTERVAL '7 days' PRECEDING AND INTERVAL '1 day' PRECEDING
    )
)
SELECT
    model,
    instance_type,
    hardware,
    replicas,
    night,
    round(throughput::numeric, 1) AS throughput_inf_per_s,
    round((mean - spread)::numeric, 1) AS band_low,
    round((mean + spread)::numeric, 1) AS band_high,
    CASE WHEN throughput < mean - spread THEN 'below' WHEN throughput > mean + spread THEN 'above' ELSE '' END
        AS outside
FROM banded
WHERE night > :'until'::date - :days
ORDER BY model, instance_type, replicas, series_id, night;
