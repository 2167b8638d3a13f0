-- What is the highest rate of random arrivals within the latency limit, night by night?
-- Searches only: where the rate was given, it is no result. until, days: the nights looked at.
\if :{?until}
\else
    \set until today
\endif
\if :{?days}
\else
    \set days 14
\endif

SELECT
    night,
    model,
    instance_type,
    hardware,
    batch_size,
    workers,
    p99_limit_ms,
    round(target_batches_per_s::numeric, 1) AS batches_per_s,
    round(throughput_inf_per_s::numeric, 1) AS inf_per_s,
    round(p99_ms::numeric, 3) AS p99_ms,
    round(service_p99_ms::numeric, 3) AS service_p99_ms,
    round(
        (target_batches_per_s / lag(target_batches_per_s) OVER (PARTITION BY series_id ORDER BY created_at) - 1)::numeric
        * 100, 1
    ) AS change_percent
FROM server_history
WHERE arrivals LIKE 'search %' AND origin = 'dag' AND night > :'until'::date - :days AND night <= :'until'
ORDER BY model, instance_type, batch_size, workers, p99_limit_ms, series_id, created_at;
