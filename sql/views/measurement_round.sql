-- Rendered from the migrations by `python -m benchlib.store.migrate sql`: do not edit.

-- The rounds of every measurement, from which its variance comes.
CREATE VIEW measurement_round AS
SELECT
    measurement.sweep_id,
    measurement.series_id,
    measurement.night,
    measurement.batch_size,
    measurement.scenario,
    measurement.attempt,
    measurement.status,
    round.round_index,
    round.batches,
    round.inferences,
    round.duration_s,
    round.throughput_inf_per_s,
    round.samples,
    round.mean_ms,
    round.p50_ms,
    round.p90_ms,
    round.p95_ms,
    round.p99_ms,
    round.p99_9_ms,
    round.max_ms
FROM measurement
INNER JOIN round ON round.measurement_id = measurement.measurement_id;

COMMENT ON VIEW measurement_round IS 'The measured windows of every measurement, one row each';
