-- The batch size with the highest throughput of every sweep, the smaller of equal ones. A sweep without a valid
-- measurement has no peak and no row.
CREATE VIEW peak AS
SELECT
    best.series_id,
    sweep.model,
    sweep.model_revision,
    sweep.sequence_length,
    best.precision,
    sweep.compiler_args,
    best.batch_size,
    sweep.scenario,
    best.replicas,
    best.workers,
    best.worker_mode,
    best.backend,
    environment.instance_type,
    environment.hardware,
    sweep.night,
    sweep.created_at,
    sweep.sweep_id,
    sweep.origin,
    sweep.label,
    environment.sdk,
    best.environment_id,
    best.throughput_inf_per_s,
    best.p50_ms,
    best.p95_ms,
    best.p99_ms,
    series.model_variant,
    series.arrivals,
    best.throughput_low_inf_per_s,
    best.throughput_high_inf_per_s
FROM sweep
CROSS JOIN LATERAL (
    SELECT valid.*
    FROM valid_measurement AS valid
    WHERE valid.sweep_id = sweep.sweep_id AND valid.scenario = sweep.scenario
    ORDER BY valid.throughput_inf_per_s DESC, valid.batch_size
    LIMIT 1
) AS best
INNER JOIN environment ON environment.environment_id = best.environment_id
INNER JOIN series ON series.series_id = best.series_id;

COMMENT ON VIEW peak IS
    'The batch size with the highest throughput of every sweep, among valid measurements only';
