-- Which series move most from one sweep to the next?
-- The noise is the standard deviation of the relative step between neighbours, over the square root of two, so
-- that one lasting change of level hardly counts. until, days: the days looked at; at_most: rows.
\if :{?until}
\else
    \set until today
\endif
\if :{?days}
\else
    \set days 90
\endif
\if :{?at_most}
\else
    \set at_most 20
\endif

WITH step AS (
    SELECT
        series_id,
        throughput_inf_per_s,
        throughput_inf_per_s / lag(throughput_inf_per_s) OVER (PARTITION BY series_id ORDER BY created_at) - 1
            AS relative
    FROM throughput_history
    WHERE origin = 'dag' AND night > :'until'::date - :days AND night <= :'until'
),
noise AS (
    SELECT
        series_id,
        count(*) AS sweeps,
        avg(throughput_inf_per_s) AS mean,
        stddev_samp(relative) / sqrt(2) AS noise
    FROM step
    GROUP BY series_id
    HAVING count(relative) >= 2
)
SELECT
    series_list.model,
    series_list.batch_size,
    series_list.instance_type,
    series_list.hardware,
    series_list.replicas,
    noise.sweeps,
    round(noise.mean::numeric, 1) AS mean_throughput_inf_per_s,
    round((noise.noise * 100)::numeric, 2) AS noise_percent
FROM noise
INNER JOIN series_list ON series_list.series_id = noise.series_id
ORDER BY noise.noise DESC
LIMIT :at_most;
