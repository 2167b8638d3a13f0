-- Rendered from the migrations by `python -m benchlib.store.migrate sql`: do not edit.

-- What differs between the environment of a sweep and that of the last sweep before it in one of its series, which
-- asked the same of the same kind of machine. No row: nothing differs, or there is no sweep before.
CREATE VIEW environment_difference AS
SELECT
    sweep.sweep_id,
    sweep.night,
    sweep.created_at,
    sweep.model,
    pair.previous_sweep_id,
    pair.previous_night,
    difference.rank,
    difference.field,
    difference.before,
    difference.after
FROM sweep
CROSS JOIN LATERAL (
    SELECT
        earlier.sweep_id AS previous_sweep_id,
        earlier.night AS previous_night,
        earlier.environment_id AS before_id,
        own.environment_id AS after_id
    FROM measurement AS own
    CROSS JOIN LATERAL (
        SELECT past.sweep_id, past.night, past.sweep_created_at, past.environment_id
        FROM measurement AS past
        WHERE past.series_id = own.series_id
            AND past.origin = own.origin
            AND past.night <= own.night
            AND past.sweep_created_at < own.sweep_created_at
        ORDER BY past.night DESC, past.sweep_created_at DESC
        LIMIT 1
    ) AS earlier
    WHERE own.sweep_id = sweep.sweep_id
    ORDER BY earlier.sweep_created_at DESC, own.measurement_id
    LIMIT 1
) AS pair
CROSS JOIN LATERAL environment_diff(pair.before_id, pair.after_id) AS difference;

COMMENT ON VIEW environment_difference IS
    'What differs between the environments of a sweep and of the comparable sweep before it, likeliest cause first';
