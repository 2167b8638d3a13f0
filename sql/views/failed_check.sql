-- Rendered from the migrations by `python -m benchlib.store.migrate sql`: do not edit.

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
    measurement.night,
    measurement.sweep_id,
    measurement.attempt,
    measurement.environment_id,
    measurement.throughput_inf_per_s,
    checked.value ->> 'name' AS check_name,
    (checked.value ->> 'figure')::double precision AS figure,
    (checked.value ->> 'limit')::double precision AS figure_limit,
    checked.value ->> 'unit' AS unit,
    checked.value ->> 'advice' AS advice
FROM measurement
INNER JOIN series ON series.series_id = measurement.series_id
CROSS JOIN LATERAL jsonb_array_elements(measurement.checks) AS checked (value)
WHERE measurement.status = 'invalid'
    AND NOT (checked.value ->> 'passed')::boolean;

COMMENT ON VIEW failed_check IS 'Checks that measurements failed, one row per check and attempt';
