-- Rendered from the migrations by `python -m benchlib.store.migrate sql`: do not edit.

-- The incidents that want somebody's attention: neither settled, nor over, nor muted.
CREATE VIEW open_incidents AS
SELECT incident_history.*
FROM incident_history
WHERE incident_history.status IN ('suspect', 'confirmed', 'acknowledged', 'reopened')
    AND incident_history.muted_until IS NULL;

COMMENT ON VIEW open_incidents IS 'Incidents that are neither settled, nor over, nor muted';
