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
        row_number() OVER same AS age
    FROM peak
    WHERE model LIKE :'model'
        AND origin = 'dag'
        AND night > :'until'::date - :days - 7
        AND night <= :'until'
    WINDOW same AS (
        PARTITION BY model, model_revision, sequence_length, precision, compiler_args, scenario, replicas, workers,
            worker_mode, backend, instance_type, hardware
        ORDER BY created_at DESC
    )
)
SELECT
    newest.night,
    newest.model,
    newest.instance_type,
    newest.hardware,
    newest.replicas,
    newest.sdk,
    newest.batch_size AS peak_batch_size,
    round(newest.throughput_inf_per_s::numeric, 1) AS throughput_inf_per_s,
    round(before.throughput::numeric, 1) AS week_before_inf_per_s,
    round((newest.throughput_inf_per_s / before.throughput * 100 - 100)::numeric, 1) AS change_percent
FROM recent AS newest
CROSS JOIN LATERAL (
    SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY recent.throughput_inf_per_s) AS throughput
    FROM recent
    WHERE ROW(
        recent.model, recent.model_revision, recent.sequence_length, recent.precision, recent.compiler_args,
        recent.scenario, recent.replicas, recent.workers, recent.worker_mode, recent.backend,
        recent.instance_type, recent.hardware
    ) IS NOT DISTINCT FROM ROW(
        newest.model, newest.model_revision, newest.sequence_length, newest.precision, newest.compiler_args,
        newest.scenario, newest.replicas, newest.workers, newest.worker_mode, newest.backend,
        newest.instance_type, newest.hardware
    )
        AND recent.night BETWEEN newest.night - 7 AND newest.night - 1
) AS before
WHERE newest.age = 1 AND newest.night > :'until'::date - :days
ORDER BY newest.model, newest.instance_type, newest.replicas;
