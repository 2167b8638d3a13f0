-- The shifts that make up each incident, those of geometric means included.
CREATE VIEW incident_change AS
SELECT
    change.incident_id,
    change.change_id,
    change.configuration_id,
    change.series_id,
    series.batch_size,
    change.level,
    change.metric,
    change.direction,
    change.before_value,
    change.after_value,
    change.relative_change,
    change.relative_low,
    change.relative_high,
    change.confidence,
    change.agreed,
    change.last_good_sweep_id,
    good.night AS last_good_night,
    change.first_bad_sweep_id,
    bad.night AS first_bad_night,
    change.detected_at,
    change.detector,
    change.evidence
FROM change
LEFT JOIN series ON series.series_id = change.series_id
INNER JOIN sweep AS good ON good.sweep_id = change.last_good_sweep_id
INNER JOIN sweep AS bad ON bad.sweep_id = change.first_bad_sweep_id;

COMMENT ON VIEW incident_change IS
    'The shifts of each incident, one row per batch size and metric, and those of geometric means';
