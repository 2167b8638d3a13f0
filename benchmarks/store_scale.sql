-- Ten years of one fleet: :nights nights of 20 x :times sweeps with 10 batch sizes and 5 rounds each.
-- Each section makes the rows of one table; the program copies them in. Widths and mixtures are like real ones:
-- checks and histograms are there, one attempt in a hundred fails, one in a hundred is invalid, some are tried
-- again, the SDK changes every 60 nights and the compiler compiles on that night only.

-- table: environment
SELECT
    md5('environment' || machine.number || '/' || release.number)::uuid AS environment_id,
    md5('fingerprint' || machine.number || '/' || release.number) AS fingerprint,
    true AS hardware,
    'Inferentia2' AS device,
    machine.name AS instance_type,
    machine.cores AS cores,
    'host-' || machine.number AS host,
    (machine.cores * 8::bigint) << 30 AS memory_bytes,
    '6.8.0-' || 1000 + release.number / 2 AS kernel,
    '3.10.12' AS python,
    '2.' || 5 + release.number / 8 || '.0' AS torch,
    '4.' || 52 + release.number / 5 || '.0' AS transformers,
    '1.26.4' AS numpy,
    '2.7.0.2.' || release.number AS torch_neuronx,
    '2.' || 14 + release.number || '.0' AS neuronx_cc,
    '2.' || 20 + release.number || '.0' AS neuron_runtime,
    '2.' || 16 + release.number || '.0' AS neuron_driver,
    '0.1.0' AS benchlib,
    '2.' || 18 + release.number || '.0' AS neuron_sdk
FROM (VALUES (0, 'inf2.xlarge', 2), (1, 'inf2.8xlarge', 2), (2, 'inf2.24xlarge', 12), (3, 'inf2.48xlarge', 24))
    AS machine (number, name, cores)
CROSS JOIN generate_series(0, (:nights - 1) / 60) AS release (number)

-- table: sweep
SELECT
    md5('sweep' || night.number || '/' || fleet.number)::uuid AS sweep_id,
    'inf2_batch_sweep' AS dag_id,
    'nightly-' || night.number || '/' || fleet.number AS run_id,
    'dag' AS origin,
    timestamptz '2026-01-01 01:00+00' + (night.number - :nights) * interval '1 day' + fleet.number * interval '3 minutes'
        AS created_at,
    'SDK 2.' || 18 + night.number / 60 || '.0' AS label,
    'model-' || fleet.number / 4 AS model,
    128 AS sequence_length,
    0 AS seed,
    '{1,2,3,4,5,6,7,8,9,10}'::integer[] AS batch_sizes,
    'neuron' AS backend,
    'auto' AS precision,
    '{--auto-cast,matmult}'::text[] AS compiler_args,
    'offline' AS scenario,
    1000 AS batches_per_worker,
    8 AS warmup_batches,
    5 AS rounds,
    'auto' AS interpreter,
    'classification' AS head,
    'text' AS inputs,
    'auto' AS worker_mode,
    'stable' AS warmup,
    'rounds' AS stop,
    60 AS duration_s,
    0.005 AS relative_half_width,
    0 AS arrival_seed,
    false AS interleave
FROM generate_series(0, :nights - 1) AS night (number)
CROSS JOIN generate_series(0, 20 * :times - 1) AS fleet (number)

-- table: compilation
SELECT
    md5('sweep' || night.number || '/' || fleet.number)::uuid AS sweep_id,
    size.number AS batch_size,
    1 AS attempt,
    'ok' AS status,
    timestamptz '2026-01-01 01:02+00' + (night.number - :nights) * interval '1 day' + fleet.number * interval '3 minutes'
        AS recorded_at,
    md5('environment' || fleet.number % 4 || '/' || night.number / 60)::uuid AS environment_id,
    'neuron' AS backend,
    'bf16' AS precision,
    encode(sha256(convert_to(fleet.number || '/' || size.number || '/' || night.number / 60, 'UTF8')), 'hex')
        AS artifact_key,
    'model_batch_size_' || size.number || '.pt' AS artifact_filename,
    encode(sha256(convert_to(fleet.number || ':' || size.number || '/' || night.number / 60, 'UTF8')), 'hex')
        AS artifact_sha256,
    200000000 + size.number * 1000000 + night.number / 60 * 500000 AS artifact_size_bytes,
    night.number % 60 <> 0 AS cache_hit,
    100 + size.number * 10 + night.number / 60 AS compile_duration_s,
    4000000000 AS peak_rss_bytes,
    '{}'::text[] AS warnings
FROM generate_series(0, :nights - 1) AS night (number)
CROSS JOIN generate_series(0, 20 * :times - 1) AS fleet (number)
CROSS JOIN generate_series(1, 10) AS size (number)

-- table: measurement
WITH attempt AS (
    SELECT
        night.number AS night,
        fleet.number AS fleet,
        size.number AS batch_size,
        attempt.number AS attempt,
        CASE
            WHEN attempt.number < (night.number * 7 + fleet.number * 13 + size.number) % 200 / 199 + 1 THEN 'failed'
            WHEN (night.number * 11 + fleet.number * 17 + size.number) % 100 = 0 THEN 'failed'
            WHEN (night.number * 11 + fleet.number * 17 + size.number) % 100 = 50 THEN 'invalid'
            ELSE 'ok'
        END AS status,
        (ARRAY[2, 2, 12, 24])[fleet.number % 4 + 1] AS replicas,
        1000.0 * (ARRAY[2, 2, 12, 24])[fleet.number % 4 + 1] * (1 + fleet.number / 4 * 0.1)
        * size.number / (size.number + 0.6 + 0.05 * size.number * size.number)
        * (1 + 0.01 * sin(night.number / 60 * 1.7)) * (1 + 0.01 * (random() + random() + random() - 1.5)) AS throughput
    FROM generate_series(0, :nights - 1) AS night (number)
    CROSS JOIN generate_series(0, 20 * :times - 1) AS fleet (number)
    CROSS JOIN generate_series(1, 10) AS size (number)
    CROSS JOIN LATERAL generate_series(
        1, (night.number * 7 + fleet.number * 13 + size.number) % 200 / 199 + 1
    ) AS attempt (number)
),
told AS (
    SELECT attempt.*, attempt.status <> 'failed' AS measured,
        attempt.replicas * attempt.batch_size / attempt.throughput * 1000 AS mean_ms
    FROM attempt
)
SELECT
    md5('sweep' || night || '/' || fleet)::uuid AS sweep_id,
    batch_size,
    'offline' AS scenario,
    attempt,
    status,
    timestamptz '2026-01-01 01:03+00' + (night - :nights) * interval '1 day' + fleet * interval '3 minutes' AS recorded_at,
    timestamptz '2026-01-01 01:02+00' + (night - :nights) * interval '1 day' + fleet * interval '3 minutes' AS started_at,
    md5('environment' || fleet % 4 || '/' || night / 60)::uuid AS environment_id,
    'model_batch_size_' || batch_size || '.pt' AS filename,
    'neuron' AS backend,
    'bf16' AS precision,
    CASE WHEN measured THEN replicas END AS replicas,
    CASE WHEN measured THEN replicas END AS workers,
    'thread' AS worker_mode,
    CASE WHEN measured THEN replicas * 5000 END AS batches,
    CASE WHEN measured THEN replicas * 5000 * batch_size END AS inferences,
    CASE WHEN measured THEN replicas * 5000 * batch_size / throughput END AS duration_s,
    CASE WHEN measured THEN throughput END AS throughput_inf_per_s,
    CASE WHEN measured THEN replicas * 5000 END AS samples,
    CASE WHEN measured THEN mean_ms END AS mean_ms,
    CASE WHEN measured THEN 0.99 * mean_ms END AS p50_ms,
    CASE WHEN measured THEN 1.01 * mean_ms END AS p90_ms,
    CASE WHEN measured THEN 1.02 * mean_ms END AS p95_ms,
    CASE WHEN measured THEN (1.04 + 0.02 * random()) * mean_ms END AS p99_ms,
    CASE WHEN measured THEN 1.10 * mean_ms END AS p99_9_ms,
    CASE WHEN measured THEN 1.30 * mean_ms END AS max_ms,
    CASE WHEN measured THEN 20 + batch_size END AS load_duration_s,
    CASE WHEN measured THEN (
        SELECT jsonb_agg(jsonb_build_object(
            'name', name, 'passed', name <> 'drift' OR status <> 'invalid', 'figure', 0.001 * place, 'limit', 0.02,
            'unit', '', 'advice', 'The check ' || name || ' found what it had to find; nothing needs to be done.'
        ))
        FROM unnest('{little,balance,samples,drift,outputs,cores,steal,clock,flags,environment}'::text[])
            WITH ORDINALITY AS checked (name, place)
    ) ELSE '[]' END AS checks,
    '{}'::text[] AS warnings,
    CASE WHEN NOT measured THEN (ARRAY['crashed', 'timeout', 'error'])[1 + night % 3] END AS failure_kind,
    CASE WHEN NOT measured THEN 'The device ran out of memory.' END AS failure_message,
    CASE WHEN measured THEN (SELECT array_agg(bucket) FROM generate_series(100, 159) AS bucket) END
        AS latency_buckets,
    CASE WHEN measured THEN (SELECT array_agg(bucket) FROM generate_series(100, 159) AS bucket) END
        AS latency_bucket_batches,
    CASE WHEN measured THEN 1 END AS processes,
    CASE WHEN measured THEN 'Python threads of one process: calls are long enough' END AS topology,
    CASE WHEN measured THEN 0.998 * throughput END AS throughput_low_inf_per_s,
    CASE WHEN measured THEN 1.002 * throughput END AS throughput_high_inf_per_s,
    CASE WHEN measured THEN 0.989 * mean_ms END AS p50_low_ms,
    CASE WHEN measured THEN 0.991 * mean_ms END AS p50_high_ms,
    CASE WHEN measured THEN 1.009 * mean_ms END AS p90_low_ms,
    CASE WHEN measured THEN 1.011 * mean_ms END AS p90_high_ms,
    CASE WHEN measured THEN 1.018 * mean_ms END AS p95_low_ms,
    CASE WHEN measured THEN 1.022 * mean_ms END AS p95_high_ms,
    CASE WHEN measured THEN 1.030 * mean_ms END AS p99_low_ms,
    CASE WHEN measured THEN 1.070 * mean_ms END AS p99_high_ms,
    CASE WHEN measured THEN 1.080 * mean_ms END AS p99_9_low_ms,
    CASE WHEN measured THEN 1.200 * mean_ms END AS p99_9_high_ms,
    CASE WHEN measured THEN 15000 * (1 + (batch_size = 1 AND night % 10 = 0)::integer) END AS overhead_ns_per_call,
    CASE WHEN measured THEN mean_ms END AS overhead_service_ms,
    CASE WHEN measured THEN replicas / mean_ms * 1000 END AS ideal_batches_per_s,
    CASE WHEN measured THEN 0.99 * replicas / mean_ms * 1000 END AS ceiling_batches_per_s,
    CASE WHEN measured THEN (
        SELECT jsonb_agg(jsonb_build_object(
            'name', 'core_utilisation', 'value', 0.95 + 0.001 * core, 'unit', 'ratio', 'core', core
        ))
        FROM generate_series(0, replicas - 1) AS core
    ) END AS telemetry
FROM told

-- table: round
SELECT
    measurement.measurement_id,
    round.number AS round_index,
    measurement.batches / 5 AS batches,
    measurement.inferences / 5 AS inferences,
    measurement.duration_s / 5 AS duration_s,
    measurement.throughput_inf_per_s,
    measurement.samples / 5 AS samples,
    measurement.mean_ms,
    measurement.p50_ms,
    measurement.p90_ms,
    measurement.p95_ms,
    measurement.p99_ms,
    NULL::double precision AS p99_9_ms,
    measurement.max_ms
FROM measurement
CROSS JOIN generate_series(0, 4) AS round (number)
WHERE measurement.status <> 'failed'

-- table: change
SELECT
    bad.series_id,
    'throughput_inf_per_s' AS metric,
    good.sweep_id AS last_good_sweep_id,
    bad.sweep_id AS first_bad_sweep_id,
    1000 AS before_value,
    980 AS after_value,
    -0.03 AS relative_low,
    -0.01 AS relative_high,
    0.95 AS confidence,
    bad.night + interval '1 day' AS detected_at,
    'steps 1' AS detector,
    '{}'::jsonb AS evidence
FROM series
CROSS JOIN generate_series(1, (:nights - 1) / 60) AS release (number)
CROSS JOIN LATERAL (
    SELECT valid.* FROM valid_measurement AS valid
    WHERE valid.series_id = series.series_id AND valid.night >= date '2026-01-01' - :nights + release.number * 60
    ORDER BY valid.night
    LIMIT 1
) AS bad
CROSS JOIN LATERAL (
    SELECT valid.* FROM valid_measurement AS valid
    WHERE valid.series_id = series.series_id AND valid.night < date '2026-01-01' - :nights + release.number * 60
    ORDER BY valid.night DESC
    LIMIT 1
) AS good
WHERE series.batch_size IN (1, 4)

-- table: annotation
SELECT
    incident.incident_id,
    'Ana' AS author,
    'The new compiler.' AS reason,
    (ARRAY['fixed', 'expected', 'false_alarm'])[1 + incident.incident_id % 3] AS status
FROM incident
WHERE incident.opened_at < (SELECT max(created_at) - interval '60 days' FROM sweep)

-- table: baseline
SELECT
    series.series_id,
    'automatic' AS kind,
    newest.sweep_id AS first_sweep_id,
    newest.sweep_id AS last_sweep_id,
    'steps 1' AS author,
    'The last level.' AS reason
FROM series
CROSS JOIN LATERAL (
    SELECT valid.sweep_id FROM valid_measurement AS valid WHERE valid.series_id = series.series_id
    ORDER BY valid.night DESC LIMIT 1
) AS newest
