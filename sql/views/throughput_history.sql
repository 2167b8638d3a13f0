-- Rendered from the migrations by `python -m benchlib.store.migrate sql`: do not edit.

-- Throughput from night to night, valid measurements only: select one series_id and order by created_at.
CREATE VIEW throughput_history AS
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
    valid.throughput_inf_per_s,
    series.model_variant,
    series.arrivals,
    valid.throughput_low_inf_per_s,
    valid.throughput_high_inf_per_s
FROM valid_measurement AS valid
INNER JOIN series ON series.series_id = valid.series_id
-- Left, though every measurement has both: what a query does not ask for is then not read.
LEFT JOIN sweep ON sweep.sweep_id = valid.sweep_id
LEFT JOIN environment ON environment.environment_id = valid.environment_id;

COMMENT ON VIEW throughput_history IS
    'Throughput over time, one row per series and sweep; valid measurements only';
