-- Rendered from the migrations by `python -m benchlib.store.migrate sql`: do not edit.

-- The latency histograms as rows, one per measurement and bucket in use; histograms add up by bucket.
-- A bucket's width is 2 percent of its latency, the same everywhere and always.
CREATE VIEW latency_bucket AS
SELECT
    measurement.sweep_id,
    measurement.measurement_id,
    measurement.batch_size,
    measurement.status,
    measurement.started_at,
    pair.bucket,
    pair.batches,
    power(1.01::double precision / 0.99, pair.bucket - 1) AS above_ms,
    power(1.01::double precision / 0.99, pair.bucket) AS up_to_ms
FROM measurement
CROSS JOIN LATERAL unnest(measurement.latency_buckets, measurement.latency_bucket_batches)
    AS pair (bucket, batches);

COMMENT ON VIEW latency_bucket IS
    'Latency histograms, one row per measurement and bucket: batches that took above_ms to up_to_ms';
