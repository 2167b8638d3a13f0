-- What is or was muted, by whom, why and until when.
CREATE VIEW mute_history AS
SELECT
    mute.mute_id,
    mute.series_id,
    series.batch_size,
    coalesce(series.model, mute.model_glob) AS model_glob,
    mute.metric,
    mute.author,
    mute.reason,
    mute.set_at,
    mute.expires_at,
    mute.lifted_at,
    mute.lifted_by,
    mute.lifted_reason,
    mute.lifted_at IS NULL AND mute.expires_at > now() AND mute.set_at <= now() AS in_force,
    '^' || replace(
        replace(regexp_replace(mute.model_glob, '([^A-Za-z0-9_*?])', '\\\1', 'g'), '*', '.*'), '?', '.'
    ) || '$' AS model_regex
FROM mute
LEFT JOIN series ON series.series_id = mute.series_id;

COMMENT ON VIEW mute_history IS 'What nobody wanted to hear of, from when until when';
