-- Rendered from the migrations by `python -m benchlib.store.migrate sql`: do not edit.

-- Of every sweep, batch size and scenario the latest attempt that passed all checks, also of the sweeps that only
-- measured again what another one found.
CREATE VIEW valid_attempt AS
SELECT
    measurement.measurement_id,
    measurement.sweep_id,
    measurement.series_id,
    measurement.environment_id,
    measurement.night,
    measurement.sweep_created_at AS created_at,
    measurement.origin,
    measurement.batch_size,
    measurement.scenario,
    measurement.precision,
    measurement.replicas,
    measurement.workers,
    measurement.worker_mode,
    measurement.backend,
    measurement.attempt,
    measurement.started_at,
    measurement.batches,
    measurement.inferences,
    measurement.duration_s,
    measurement.throughput_inf_per_s,
    measurement.samples,
    measurement.mean_ms,
    measurement.p50_ms,
    measurement.p90_ms,
    measurement.p95_ms,
    measurement.p99_ms,
    measurement.p99_9_ms,
    measurement.max_ms,
    measurement.load_duration_s,
    measurement.processes,
    measurement.topology,
    measurement.throughput_low_inf_per_s,
    measurement.throughput_high_inf_per_s,
    measurement.p50_low_ms,
    measurement.p50_high_ms,
    measurement.p90_low_ms,
    measurement.p90_high_ms,
    measurement.p95_low_ms,
    measurement.p95_high_ms,
    measurement.p99_low_ms,
    measurement.p99_high_ms,
    measurement.p99_9_low_ms,
    measurement.p99_9_high_ms,
    measurement.overhead_ns_per_call,
    measurement.overhead_service_ms,
    measurement.ideal_batches_per_s,
    measurement.ceiling_batches_per_s,
    measurement.target_batches_per_s,
    measurement.p99_limit_ms,
    measurement.arrival_seed,
    measurement.service_samples,
    measurement.service_mean_ms,
    measurement.service_p50_ms,
    measurement.service_p90_ms,
    measurement.service_p95_ms,
    measurement.service_p99_ms,
    measurement.service_p99_9_ms,
    measurement.service_max_ms
FROM measurement
WHERE measurement.status = 'ok'
    AND NOT EXISTS (
        SELECT FROM measurement AS later
        WHERE later.sweep_id = measurement.sweep_id
            AND later.batch_size = measurement.batch_size
            AND later.scenario = measurement.scenario
            AND later.attempt > measurement.attempt
            AND later.attempt > 1  -- says what the line before implies, for the small index of retries
            AND later.status = 'ok'
    );

COMMENT ON VIEW valid_attempt IS
    'The latest attempt that passed all checks of every sweep and batch size, second measurements of a night too';
