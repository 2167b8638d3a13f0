-- Every series on every night from its first measurement to today, or to the newest sweep: is there a valid
-- figure, and if not, why? A series that was given up goes on to be listed: compare night with last_night.
-- Only what was measured here counts: imported figures neither begin a series of nights nor fill one.
-- A failed attempt does not say which machine it would have run on: it explains the gap of every series that its
-- sweep may have meant.
CREATE VIEW coverage AS
WITH cell AS NOT MATERIALIZED (
    SELECT
        series.*,
        calendar.night,
        life.last_night,
        valid.sweep_id AS valid_sweep_id
    FROM (
        SELECT bounds.first_night + day.number AS night
        FROM (
            SELECT
                min(sweep.night) AS first_night,
                greatest(max(sweep.night), (now() AT TIME ZONE 'UTC')::date) AS last_night
            FROM sweep
        ) AS bounds
        CROSS JOIN LATERAL generate_series(0, bounds.last_night - bounds.first_night) AS day (number)
    ) AS calendar
    CROSS JOIN series
    INNER JOIN LATERAL (
        SELECT min(measured.night) AS first_night, max(measured.night) AS last_night
        FROM measurement AS measured
        WHERE measured.series_id = series.series_id AND measured.origin = 'dag'
    ) AS life ON life.first_night <= calendar.night
    LEFT JOIN LATERAL (
        SELECT measured.sweep_id
        FROM valid_measurement AS measured
        WHERE measured.series_id = series.series_id
            AND measured.night = calendar.night
            AND measured.origin = 'dag'
        LIMIT 1
    ) AS valid ON true
)
SELECT
    cell.series_id,
    cell.model,
    cell.model_revision,
    cell.sequence_length,
    cell.precision,
    cell.compiler_args,
    cell.batch_size,
    cell.scenario,
    cell.replicas,
    cell.workers,
    cell.worker_mode,
    cell.backend,
    cell.instance_type,
    cell.hardware,
    cell.night,
    'valid' AS state,
    cell.valid_sweep_id AS sweep_id,
    '' AS reason,
    cell.last_night,
    cell.model_variant,
    cell.arrivals
FROM cell
WHERE cell.valid_sweep_id IS NOT NULL
UNION ALL
SELECT
    cell.series_id,
    cell.model,
    cell.model_revision,
    cell.sequence_length,
    cell.precision,
    cell.compiler_args,
    cell.batch_size,
    cell.scenario,
    cell.replicas,
    cell.workers,
    cell.worker_mode,
    cell.backend,
    cell.instance_type,
    cell.hardware,
    cell.night,
    coalesce(missing.state, 'none') AS state,
    missing.sweep_id,
    coalesce(missing.reason, 'no sweep') AS reason,
    cell.last_night,
    cell.model_variant,
    cell.arrivals
FROM cell
LEFT JOIN LATERAL (
    SELECT
        sweep.sweep_id,
        CASE
            WHEN measured.status = 'invalid' THEN 'invalid'
            WHEN measured.status = 'ok' OR is_young THEN 'none'
            ELSE 'failed'
        END AS state,
        CASE measured.status
            WHEN 'ok' THEN 'measured as ' || measured.worker_mode
            WHEN 'failed' THEN measured.failure_message
            WHEN 'invalid' THEN (
                SELECT string_agg(checked.value ->> 'advice', ' ' ORDER BY checked.place)
                FROM jsonb_array_elements(measured.checks) WITH ORDINALITY AS checked (value, place)
                WHERE NOT (checked.value ->> 'passed')::boolean
            )
            ELSE coalesce(compiled.failure_message, CASE WHEN is_young THEN 'not finished yet' ELSE 'no result' END)
        END AS reason
    FROM sweep
    LEFT JOIN LATERAL (
        SELECT
            attempt.status, attempt.series_id, attempt.worker_mode, attempt.checks, attempt.failure_message
        FROM measurement AS attempt
        WHERE attempt.sweep_id = sweep.sweep_id
            AND attempt.batch_size = cell.batch_size
            AND attempt.scenario = cell.scenario
        ORDER BY attempt.status = 'ok' DESC, attempt.attempt DESC
        LIMIT 1
    ) AS measured ON true
    LEFT JOIN LATERAL (
        SELECT attempt.failure_message
        FROM compilation AS attempt
        WHERE attempt.sweep_id = sweep.sweep_id AND attempt.batch_size = cell.batch_size
        ORDER BY attempt.attempt DESC
        LIMIT 1
    ) AS compiled ON true
    CROSS JOIN LATERAL (
        SELECT
            measured.status IS NULL
            AND compiled.failure_message IS NULL
            AND sweep.created_at > now() - interval '1 day'
    ) AS age (is_young)
    LEFT JOIN series AS other ON other.series_id = measured.series_id
    WHERE sweep.night = cell.night
        AND sweep.origin = 'dag'
        AND sweep.model = cell.model
        AND sweep.model_revision IS NOT DISTINCT FROM cell.model_revision
        AND sweep.sequence_length = cell.sequence_length
        AND sweep.precision IN ('auto', cell.precision)
        AND sweep.compiler_args = cell.compiler_args
        AND sweep.scenario = cell.scenario
        AND sweep.backend = cell.backend
        AND coalesce(sweep.replicas = cell.replicas, true)
        AND coalesce(sweep.workers = cell.workers, true)
        AND sweep.model_variant IS NOT DISTINCT FROM cell.model_variant
        AND coalesce(
            cell.arrivals = server_arrivals(sweep.target_batches_per_s, sweep.latency_limit_ms), true
        )
        AND cell.batch_size = ANY (sweep.batch_sizes)
        AND CASE
            WHEN measured.series_id IS NULL THEN coalesce(sweep.worker_mode IN ('auto', cell.worker_mode), true)
            WHEN measured.series_id = cell.series_id THEN true
            -- Of what the sweep left open, only the kind of worker came out as another one.
            ELSE measured.status = 'ok' AND sweep.worker_mode = 'auto' AND ROW(
                other.precision, other.replicas, other.workers, other.instance_type, other.hardware, other.arrivals
            ) IS NOT DISTINCT FROM ROW(
                cell.precision, cell.replicas, cell.workers, cell.instance_type, cell.hardware,
                cell.arrivals
            )
        END
    ORDER BY measured.status = 'invalid' DESC NULLS LAST, sweep.created_at DESC
    LIMIT 1
) AS missing ON true
WHERE cell.valid_sweep_id IS NULL;

COMMENT ON VIEW coverage IS
    'Every series on every night since it began: valid, invalid, failed or none, with the reason';
