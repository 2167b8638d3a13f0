-- The checks that kept a measurement from being believed, one row per check and attempt.
CREATE VIEW failed_check AS
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
    checked.night,
    checked.sweep_id,
    checked.attempt,
    checked.environment_id,
    checked.throughput_inf_per_s,
    checked.check_name,
    checked.figure,
    checked.figure_limit,
    checked.unit,
    checked.advice,
    series.model_variant,
    series.arrivals,
    checked.origin
FROM measurement_check AS checked
INNER JOIN series ON series.series_id = checked.series_id
WHERE checked.status = 'invalid' AND NOT checked.passed;

COMMENT ON VIEW failed_check IS 'Checks that measurements failed, one row per check and attempt';
