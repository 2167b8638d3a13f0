-- Latency of one batch from night to night in milliseconds, valid measurements only. The throughput is there too,
-- to tell a slower tail from a slower whole.
CREATE VIEW latency_history AS
SELECT
    series.series_id,
    series.model,
    series.model_revision,
    series.sequence_length,
    series.precision,
    series.compiler_args,
    series.batch_size,
    series.scenario,
    series.replicas,
    series.workers,
    series.worker_mode,
    series.backend,
    series.instance_type,
    series.hardware,
    valid.night,
    valid.created_at,
    valid.sweep_id,
    valid.origin,
    sweep.label,
    environment.sdk,
    valid.environment_id,
    valid.samples,
    valid.mean_ms,
    valid.p50_ms,
    valid.p90_ms,
    valid.p95_ms,
    valid.p99_ms,
    valid.p99_9_ms,
    valid.max_ms,
    valid.throughput_inf_per_s,
    series.model_variant,
    series.arrivals,
    valid.p50_low_ms,
    valid.p50_high_ms,
    valid.p90_low_ms,
    valid.p90_high_ms,
    valid.p95_low_ms,
    valid.p95_high_ms,
    valid.p99_low_ms,
    valid.p99_high_ms,
    valid.p99_9_low_ms,
    valid.p99_9_high_ms
FROM valid_measurement AS valid
INNER JOIN series ON series.series_id = valid.series_id
-- Left, though every measurement has both: what a query does not ask for is then not read.
LEFT JOIN sweep ON sweep.sweep_id = valid.sweep_id
LEFT JOIN environment ON environment.environment_id = valid.environment_id;

COMMENT ON VIEW latency_history IS
    'Latency of one batch over time in ms, one row per series and sweep; valid measurements only';
