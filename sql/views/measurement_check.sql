-- Rendered from the migrations by `python -m benchlib.store.migrate sql`: do not edit.

-- The checks of every measurement, passed or not.
CREATE VIEW measurement_check AS
SELECT
    measurement.sweep_id,
    measurement.series_id,
    measurement.environment_id,
    measurement.night,
    measurement.batch_size,
    measurement.scenario,
    measurement.attempt,
    measurement.status,
    measurement.throughput_inf_per_s,
    checked.value ->> 'name' AS check_name,
    (checked.value ->> 'passed')::boolean AS passed,
    (checked.value ->> 'figure')::double precision AS figure,
    (checked.value ->> 'limit')::double precision AS figure_limit,
    checked.value ->> 'unit' AS unit,
    checked.value ->> 'advice' AS advice,
    measurement.origin
FROM measurement
CROSS JOIN LATERAL jsonb_array_elements(measurement.checks) AS checked (value);

COMMENT ON VIEW measurement_check IS 'Why a measurement is believed or not: its checks, one row each';
