-- Which batch sizes cannot be told from the peak, and how much lower is their latency?
-- Tied, as in the comparison table: the difference is at most sqrt(a^2 + b^2), where a is what the peak may fall and
-- b what the other may rise within the 95 percent intervals. What has no interval around it cannot be judged and is
-- left out. until, days: the nights looked at.
\if :{?until}
\else
    \set until today
\endif
\if :{?days}
\else
    \set days 14
\endif

-- Materialized: else the peak is looked for again beside every other batch size.
WITH recent AS MATERIALIZED (
    SELECT *
    FROM peak
    WHERE night > :'until'::date - :days AND night <= :'until'
)
SELECT
    peak.night,
    peak.model,
    peak.instance_type,
    peak.hardware,
    peak.replicas,
    peak.batch_size AS peak,
    tied.batch_size AS tied,
    round(peak.throughput_inf_per_s::numeric, 1) AS peak_inf_per_s,
    round(tied.throughput_inf_per_s::numeric, 1) AS tied_inf_per_s,
    round(peak.p99_ms::numeric, 3) AS peak_p99_ms,
    round(tied.p99_ms::numeric, 3) AS tied_p99_ms
FROM recent AS peak
INNER JOIN valid_measurement AS tied
    ON tied.sweep_id = peak.sweep_id
    AND tied.scenario = peak.scenario
    AND tied.batch_size <> peak.batch_size
WHERE peak.throughput_inf_per_s - tied.throughput_inf_per_s <= sqrt(
        power(peak.throughput_inf_per_s - peak.throughput_low_inf_per_s, 2)
        + power(tied.throughput_high_inf_per_s - tied.throughput_inf_per_s, 2)
    )
    AND peak.throughput_inf_per_s BETWEEN peak.throughput_low_inf_per_s AND peak.throughput_high_inf_per_s
    AND tied.throughput_inf_per_s BETWEEN tied.throughput_low_inf_per_s AND tied.throughput_high_inf_per_s
ORDER BY peak.night DESC, peak.model, peak.instance_type, peak.replicas, peak.created_at, tied.batch_size;
