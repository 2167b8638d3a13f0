-- When did the peak move to another batch size?
-- model: a pattern of LIKE; until, days: the days looked at.
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
    \set days 30
\endif

WITH move AS (
    SELECT
        peak.*,
        lag(batch_size) OVER earlier AS previous_batch_size,
        lag(throughput_inf_per_s) OVER earlier AS previous_throughput,
        lag(sdk) OVER earlier AS previous_sdk
    FROM peak
    WHERE model LIKE :'model'
        AND origin = 'dag'
        AND night > :'until'::date - :days
        AND night <= :'until'
    WINDOW earlier AS (
        PARTITION BY model, model_variant, model_revision, sequence_length, precision, compiler_args, scenario,
            arrivals, replicas, workers, worker_mode, backend, instance_type, hardware
        ORDER BY created_at
    )
)
SELECT
    night,
    model,
    model_variant,
    scenario,
    arrivals,
    instance_type,
    hardware,
    replicas,
    previous_batch_size,
    batch_size,
    round(previous_throughput::numeric, 1) AS previous_throughput_inf_per_s,
    round(throughput_inf_per_s::numeric, 1) AS throughput_inf_per_s,
    previous_sdk,
    sdk
FROM move
WHERE batch_size <> previous_batch_size
ORDER BY night, model, model_variant NULLS FIRST, scenario, arrivals, instance_type, replicas;
