-- Every attempt that failed, with the reason, and whether a later attempt of the same sweep made good for it.
CREATE VIEW failure_history AS
SELECT
    sweep.night,
    sweep.created_at,
    sweep.sweep_id,
    sweep.label,
    sweep.model,
    sweep.backend,
    failed.batch_size,
    'compile' AS stage,
    failed.attempt,
    failed.recorded_at,
    failed.failure_kind,
    failed.failure_message,
    failed.failure_log_tail,
    EXISTS (
        SELECT FROM compilation AS later
        WHERE later.sweep_id = failed.sweep_id
            AND later.batch_size = failed.batch_size
            AND later.attempt > failed.attempt
            AND later.status = 'ok'
    ) AS recovered
FROM compilation AS failed
INNER JOIN sweep ON sweep.sweep_id = failed.sweep_id
WHERE failed.status = 'failed'
UNION ALL
SELECT
    failed.night,
    sweep.created_at,
    sweep.sweep_id,
    sweep.label,
    sweep.model,
    sweep.backend,
    failed.batch_size,
    'measure' AS stage,
    failed.attempt,
    failed.recorded_at,
    failed.failure_kind,
    failed.failure_message,
    failed.failure_log_tail,
    EXISTS (
        SELECT FROM measurement AS later
        WHERE later.sweep_id = failed.sweep_id
            AND later.batch_size = failed.batch_size
            AND later.scenario = failed.scenario
            AND later.attempt > failed.attempt
            AND later.status <> 'failed'
    ) AS recovered
FROM measurement AS failed
INNER JOIN sweep ON sweep.sweep_id = failed.sweep_id
WHERE failed.status = 'failed';

COMMENT ON VIEW failure_history IS 'Every failed attempt to compile or measure, with the reason';
