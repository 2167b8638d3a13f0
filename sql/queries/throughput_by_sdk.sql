-- How fast was one batch size under each SDK over the last year?
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
    \set days 365
\endif

SELECT
    model,
    instance_type,
    hardware,
    replicas,
    sdk,
    min(night) AS first_night,
    max(night) AS last_night,
    count(*) AS sweeps,
    round(percentile_cont(0.5) WITHIN GROUP (ORDER BY throughput_inf_per_s)::numeric, 1)
        AS median_throughput_inf_per_s
FROM throughput_history
WHERE model LIKE :'model'
    AND batch_size = :batch_size
    AND origin = 'dag'
    AND night > :'until'::date - :days
    AND night <= :'until'
GROUP BY series_id, model, instance_type, hardware, replicas, sdk
ORDER BY model, instance_type, replicas, series_id, first_night;
