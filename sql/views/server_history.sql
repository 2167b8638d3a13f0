-- Rendered from the migrations by `python -m benchlib.store.migrate sql`: do not edit.

-- The scenario server from night to night, valid measurements only. Latency counts from the scheduled arrival, so that
-- waiting for a worker is in it; service latency is that of the calls alone. One arrival is one batch.
CREATE VIEW server_history AS
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
    series.model_variant,
    series.arrivals,
    valid.night,
    valid.created_at,
    valid.sweep_id,
    valid.origin,
    sweep.label,
    environment.sdk,
    valid.environment_id,
    valid.target_batches_per_s,
    valid.throughput_inf_per_s,
    valid.p99_limit_ms,
    valid.samples,
    valid.p50_ms,
    valid.p99_ms,
    valid.service_p50_ms,
    valid.service_p99_ms
FROM valid_measurement AS valid
INNER JOIN series ON series.series_id = valid.series_id
-- Left, though every measurement has both: what a query does not ask for is then not read.
LEFT JOIN sweep ON sweep.sweep_id = valid.sweep_id
LEFT JOIN environment ON environment.environment_id = valid.environment_id
WHERE series.arrivals IS NOT NULL;

COMMENT ON VIEW server_history IS
    'Rate and latency under random arrivals over time, one row per series and sweep; valid measurements only';
