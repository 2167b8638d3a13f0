-- Which batch size gives most throughput on each kind of machine while the 99th percentile stays under 5 ms?
-- limit_ms; until, days: the nights whose medians count. What has no 99th percentile cannot keep the limit.
\if :{?limit_ms}
\else
    \set limit_ms 5
\endif
\if :{?until}
\else
    \set until today
\endif
\if :{?days}
\else
    \set days 14
\endif

WITH typical AS (
    SELECT
        model,
        model_variant,
        sequence_length,
        scenario,
        instance_type,
        backend,
        hardware,
        batch_size,
        replicas,
        workers,
        precision,
        percentile_cont(0.5) WITHIN GROUP (ORDER BY throughput_inf_per_s) AS throughput,
        percentile_cont(0.5) WITHIN GROUP (ORDER BY p99_ms) AS p99_ms
    FROM latency_history
    WHERE origin = 'dag' AND night > :'until'::date - :days AND night <= :'until'
    GROUP BY
        series_id, model, model_variant, sequence_length, scenario, instance_type, backend, hardware, batch_size,
        replicas, workers, precision
)
SELECT DISTINCT ON (model, model_variant, sequence_length, scenario, instance_type, backend, hardware)
    model,
    model_variant,
    sequence_length,
    scenario,
    instance_type,
    backend,
    hardware,
    batch_size,
    replicas,
    workers,
    precision,
    round(throughput::numeric, 1) AS throughput_inf_per_s,
    round(p99_ms::numeric, 3) AS p99_ms
FROM typical
WHERE p99_ms <= :limit_ms
ORDER BY
    model, model_variant NULLS FIRST, sequence_length, scenario, instance_type, backend, hardware, throughput DESC,
    batch_size;
