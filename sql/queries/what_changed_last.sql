-- What differs between the environments of the last two sweeps of a model, likeliest cause first?
-- model: a pattern of LIKE; until: the last day. No row: nothing differs.
\if :{?model}
\else
    \set model '%'
\endif
\if :{?until}
\else
    \set until today
\endif

WITH latest AS (
    SELECT sweep_id
    FROM comparison_table
    WHERE model LIKE :'model' AND created_at < :'until'::date + 1
        AND sweep_id NOT IN (SELECT sweep_id FROM sweep_list WHERE confirms_sweep_id IS NOT NULL)
    ORDER BY created_at DESC
    LIMIT 1
)
SELECT
    difference.model,
    difference.previous_night,
    difference.night,
    difference.field,
    difference.before,
    difference.after
FROM latest
INNER JOIN environment_difference AS difference ON difference.sweep_id = latest.sweep_id
ORDER BY difference.rank;
