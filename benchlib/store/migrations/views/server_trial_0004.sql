-- The rates that a search for the highest one tried, in their order.
CREATE VIEW server_trial AS
SELECT
    measurement.sweep_id,
    measurement.series_id,
    measurement.night,
    measurement.batch_size,
    measurement.scenario,
    measurement.attempt,
    measurement.status,
    measurement.p99_limit_ms,
    trial.place AS trial_number,
    (trial.value ->> 'target_batches_per_s')::double precision AS target_batches_per_s,
    (trial.value ->> 'achieved_batches_per_s')::double precision AS achieved_batches_per_s,
    (trial.value ->> 'samples')::bigint AS samples,
    (trial.value ->> 'p99_ms')::double precision AS p99_ms,
    (trial.value ->> 'met')::boolean AS met
FROM measurement
CROSS JOIN LATERAL jsonb_array_elements(measurement.server_trials) WITH ORDINALITY AS trial (value, place);

COMMENT ON VIEW server_trial IS 'The rates that each search for the highest one tried, one row each';
