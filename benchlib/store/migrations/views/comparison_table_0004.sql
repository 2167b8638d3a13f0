-- The comparison table of every sweep, one row per batch size; latencies in milliseconds.
-- Of several attempts the latest that is ok counts; where none is, the latest.
-- A batch size without a result is a row too: failed, with the reason.
CREATE VIEW comparison_table AS
SELECT
    sweep.sweep_id,
    sweep.created_at,
    sweep.label,
    sweep.model,
    coalesce(measured.filename, compiled.artifact_filename, 'model_batch_size_' || size.batch_size || '.pt')
        AS filename,
    size.batch_size,
    measured.batches,
    measured.inferences,
    measured.workers,
    measured.replicas,
    measured.duration_s,
    measured.throughput_inf_per_s,
    measured.p50_ms,
    measured.p95_ms,
    measured.p99_ms,
    coalesce(measured.status, 'failed') AS status,
    CASE measured.status
        WHEN 'ok' THEN ''
        WHEN 'failed' THEN measured.failure_message
        WHEN 'invalid' THEN (
            SELECT string_agg(checked.value ->> 'advice', ' ' ORDER BY checked.place)
            FROM jsonb_array_elements(measured.checks) WITH ORDINALITY AS checked (value, place)
            WHERE NOT (checked.value ->> 'passed')::boolean
        )
        ELSE coalesce(compiled.failure_message, 'no result')
    END AS reason,
    coalesce(measured.precision, compiled.precision) AS precision,
    environment.hardware,
    environment.device,
    environment.instance_type,
    sweep.model_variant,
    sweep.scenario,
    sweep.latency_limit_ms,
    measured.worker_mode,
    measured.samples,
    measured.throughput_low_inf_per_s,
    measured.throughput_high_inf_per_s,
    measured.p90_ms,
    measured.p99_9_ms,
    measured.target_batches_per_s
FROM sweep
CROSS JOIN LATERAL (
    SELECT unnest(sweep.batch_sizes)
    UNION
    SELECT measurement.batch_size
    FROM measurement
    WHERE measurement.sweep_id = sweep.sweep_id AND measurement.scenario = sweep.scenario
    UNION
    SELECT compilation.batch_size
    FROM compilation
    WHERE compilation.sweep_id = sweep.sweep_id
) AS size (batch_size)
LEFT JOIN measurement AS measured ON measured.measurement_id = (
    SELECT attempt.measurement_id
    FROM measurement AS attempt
    WHERE attempt.sweep_id = sweep.sweep_id
        AND attempt.scenario = sweep.scenario
        AND attempt.batch_size = size.batch_size
    ORDER BY attempt.status = 'ok' DESC, attempt.attempt DESC
    LIMIT 1
)
LEFT JOIN compilation AS compiled ON compiled.compilation_id = (
    SELECT attempt.compilation_id
    FROM compilation AS attempt
    WHERE attempt.sweep_id = sweep.sweep_id AND attempt.batch_size = size.batch_size
    ORDER BY attempt.attempt DESC
    LIMIT 1
)
LEFT JOIN environment
    ON environment.environment_id = coalesce(measured.environment_id, compiled.environment_id);

COMMENT ON VIEW comparison_table IS
    'Every sweep side by side, one row per batch size, failed ones included; latencies in ms';
