-- Rendered from the migrations by `python -m benchlib.store.migrate sql`: do not edit.

-- What the load generator itself cost in every measurement, and how much of an ideal device it can show.
CREATE VIEW measurement_harness AS
SELECT
    measurement.sweep_id,
    measurement.series_id,
    measurement.night,
    measurement.batch_size,
    measurement.scenario,
    measurement.attempt,
    measurement.status,
    measurement.replicas,
    measurement.workers,
    measurement.worker_mode,
    measurement.processes,
    measurement.topology,
    measurement.throughput_inf_per_s,
    measurement.overhead_ns_per_call,
    measurement.overhead_service_ms,
    measurement.ideal_batches_per_s,
    measurement.ceiling_batches_per_s,
    measurement.overhead_ns_per_call / (measurement.overhead_service_ms * 1e6) AS share_of_latency,
    measurement.ceiling_batches_per_s / measurement.ideal_batches_per_s AS share_of_ideal
FROM measurement
WHERE measurement.overhead_ns_per_call IS NOT NULL;

COMMENT ON VIEW measurement_harness IS
    'What the load generator cost in each measurement and how much it can show; all that were measured with it';
