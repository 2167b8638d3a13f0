-- How much does each further replica bring?
-- The efficiency is the throughput per replica, relative to the fewest replicas of the same model and machine.
-- model: a pattern of LIKE; batch_size; until, days: the nights whose medians count.
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
    \set days 30
\endif

WITH typical AS (
    SELECT
        model,
        model_variant,
        scenario,
        instance_type,
        backend,
        hardware,
        precision,
        sequence_length,
        replicas,
        max(throughput) AS throughput
    FROM (
        SELECT
            model,
            model_variant,
            scenario,
            instance_type,
            backend,
            hardware,
            precision,
            sequence_length,
            replicas,
            percentile_cont(0.5) WITHIN GROUP (ORDER BY throughput_inf_per_s) AS throughput
        FROM throughput_history
        WHERE model LIKE :'model'
            AND batch_size = :batch_size
            AND replicas IS NOT NULL
            AND origin = 'dag'
            AND night > :'until'::date - :days
            AND night <= :'until'
        GROUP BY
            series_id, model, model_variant, scenario, instance_type, backend, hardware, precision, sequence_length,
            replicas
    ) AS series
    GROUP BY
        model, model_variant, scenario, instance_type, backend, hardware, precision, sequence_length, replicas
)
SELECT
    model,
    model_variant,
    scenario,
    instance_type,
    backend,
    hardware,
    replicas,
    round(throughput::numeric, 1) AS throughput_inf_per_s,
    round((throughput / replicas)::numeric, 1) AS per_replica_inf_per_s,
    round((throughput / replicas / first_value(throughput / replicas) OVER fewer)::numeric, 3) AS efficiency
FROM typical
WINDOW fewer AS (
    PARTITION BY model, model_variant, scenario, instance_type, backend, hardware, precision, sequence_length
    ORDER BY replicas
)
ORDER BY
    model, model_variant NULLS FIRST, scenario, instance_type, backend, precision, sequence_length, replicas;
