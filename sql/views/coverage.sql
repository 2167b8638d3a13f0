-- Rendered from the migrations by `python -m benchlib.store.migrate sql`: do not edit.

-- Every series on every night from its first measurement to today, or to the newest sweep: is there a valid
-- figure, and if not, why? A series that was given up goes on to be listed: compare night with last_night.
-- Only what was measured here counts: imported figures neither begin a series of nights nor fill one.
-- A failed attempt does not say which machine it would have run on: it explains the gap of every series that its
-- sweep may have meant.
CREATE VIEW coverage AS
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
    calendar.night,
    CASE WHEN valid.sweep_id IS NOT NULL THEN 'valid' ELSE coalesce(missing.state, 'none') END AS state,
    coalesce(valid.sweep_id, missing.sweep_id) AS sweep_id,
    CASE WHEN valid.sweep_id IS NULL THEN coalesce(missing.reason, 'no sweep') ELSE '' END AS reason,
    life.last_night,
    series.model_variant,
    series.arrivals
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
            AND attempt.batch_size = series.batch_size
            AND attempt.scenario = series.scenario
        ORDER BY attempt.status = 'ok' DESC, attempt.attempt DESC
        LIMIT 1
    ) AS measured ON true
    LEFT JOIN LATERAL (
        SELECT attempt.failure_message
        FROM compilation AS attempt
        WHERE attempt.sweep_id = sweep.sweep_id AND attempt.batch_size = series.batch_size
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
    WHERE valid.sweep_id IS NULL
        AND sweep.night = calendar.night
        AND sweep.origin = 'dag'
        AND sweep.model = series.model
        AND sweep.model_revision IS NOT DISTINCT FROM series.model_revision
        AND sweep.sequence_length = series.sequence_length
        AND sweep.precision IN ('auto', series.precision)
        AND sweep.compiler_args = series.compiler_args
        AND sweep.scenario = series.scenario
        AND sweep.backend = series.backend
        AND coalesce(sweep.replicas = series.replicas, true)
        AND coalesce(sweep.workers = series.workers, true)
        AND sweep.model_variant IS NOT DISTINCT FROM series.model_variant
        AND coalesce(
            series.arrivals = server_arrivals(sweep.target_batches_per_s, sweep.latency_limit_ms), true
        )
        AND series.batch_size = ANY (sweep.batch_sizes)
        AND CASE
            WHEN measured.series_id IS NULL THEN coalesce(sweep.worker_mode IN ('auto', series.worker_mode), true)
            WHEN measured.series_id = series.series_id THEN true
            -- Of what the sweep left open, only the kind of worker came out as another one.
            ELSE measured.status = 'ok' AND sweep.worker_mode = 'auto' AND ROW(
                other.precision, other.replicas, other.workers, other.instance_type, other.hardware, other.arrivals
            ) IS NOT DISTINCT FROM ROW(
                series.precision, series.replicas, series.workers, series.instance_type, series.hardware,
                series.arrivals
            )
        END
    ORDER BY measured.status = 'invalid' DESC NULLS LAST, sweep.created_at DESC
    LIMIT 1
) AS missing ON true;

COMMENT ON VIEW coverage IS
    'Every series on every night since it began: valid, invalid, failed or none, with the reason';
