-- How fast was everything last night, compared with the week before?
-- The newest peak of each model and machine, and the median peak of the seven nights before it.
-- model: a pattern of LIKE; until; days: a peak that is older is not news.
\if :{?model}
\else
    \set model '%'
\endif
\if :{?until}
\else
    \set until today
\endif
\if :{?days}
\else
    \set days 7
\endif

WITH recent AS (
    SELECT
        peak.*,
        row_number() OVER same AS age,
        first_value(sweep_id) OVER same AS newest_sweep_id
    FROM peak
    WHERE model LIKE :'model'
        AND origin = 'dag'
        AND night > :'until'::date - :days - 7
        AND night <= :'until'
    WINDOW same AS (
        PARTITION BY model, model_variant, model_revision, sequence_length, precision, compiler_args, scenario,
            arrivals, replicas, workers, worker_mode, backend, instance_type, hardware
        ORDER BY created_at DESC
    )
)
SELECT
    newest.night,
    newest.model,
    newest.model_variant,
    newest.scenario,
    newest.arrivals,
    newest.instance_type,
    newest.hardware,
    newest.replicas,
    newest.sdk,
    newest.batch_size AS peak_batch_size,
    round(newest.throughput_inf_per_s::numeric, 1) AS throughput_inf_per_s,
    round(before.throughput::numeric, 1) AS week_before_inf_per_s,
    round((newest.throughput_inf_per_s / before.throughput * 100 - 100)::numeric, 1) AS change_percent
FROM recent AS newest
LEFT JOIN (
    SELECT
        earlier.newest_sweep_id,
        percentile_cont(0.5) WITHIN GROUP (ORDER BY earlier.throughput_inf_per_s) AS throughput
    FROM recent AS earlier
    INNER JOIN recent AS newest ON newest.age = 1 AND newest.sweep_id = earlier.newest_sweep_id
    WHERE earlier.night BETWEEN newest.night - 7 AND newest.night - 1
    GROUP BY earlier.newest_sweep_id
) AS before ON before.newest_sweep_id = newest.sweep_id
WHERE newest.age = 1 AND newest.night > :'until'::date - :days
ORDER BY
    newest.model, newest.model_variant NULLS FIRST, newest.scenario, newest.arrivals, newest.instance_type,
    newest.replicas;
