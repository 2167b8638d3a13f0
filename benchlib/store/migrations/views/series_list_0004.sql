-- The series there are, with the nights of their first and their last measurement, valid or not.
CREATE VIEW series_list AS
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
    life.first_night,
    life.last_night,
    series.model_variant,
    series.arrivals
FROM series
CROSS JOIN LATERAL (
    SELECT min(measurement.night) AS first_night, max(measurement.night) AS last_night
    FROM measurement
    WHERE measurement.series_id = series.series_id
) AS life
WHERE life.first_night IS NOT NULL;

COMMENT ON VIEW series_list IS 'The series that have measurements, with their first and last night';
