-- Rendered from the migrations by `python -m benchlib.store.migrate sql`: do not edit.

-- What people said, about whatever it was.
CREATE VIEW annotation_history AS
SELECT
    annotation.annotation_id,
    annotation.annotated_at,
    annotation.author,
    annotation.reason,
    annotation.status,
    annotation.change_id,
    coalesce(annotation.series_id, change.series_id) AS series_id,
    coalesce(annotation.sweep_id, change.first_bad_sweep_id, incident.first_bad_sweep_id) AS sweep_id,
    sweep.night,
    annotation.incident_id
FROM annotation
LEFT JOIN change ON change.change_id = annotation.change_id
LEFT JOIN incident ON incident.incident_id = annotation.incident_id
LEFT JOIN sweep
    ON sweep.sweep_id = coalesce(annotation.sweep_id, change.first_bad_sweep_id, incident.first_bad_sweep_id);

COMMENT ON VIEW annotation_history IS
    'What people said about incidents, changes, series and sweeps; of an incident, its first bad sweep too';
