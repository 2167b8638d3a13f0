-- What the device said of itself while it was measured.
CREATE VIEW measurement_reading AS
SELECT
    measurement.sweep_id,
    measurement.series_id,
    measurement.night,
    measurement.batch_size,
    measurement.scenario,
    measurement.attempt,
    measurement.status,
    reading.value ->> 'name' AS reading_name,
    (reading.value ->> 'value')::double precision AS figure,
    reading.value ->> 'unit' AS unit,
    (reading.value ->> 'core')::integer AS core
FROM measurement
CROSS JOIN LATERAL jsonb_array_elements(measurement.telemetry) AS reading (value);

COMMENT ON VIEW measurement_reading IS 'What the device said of itself during each measurement, one row per reading';
