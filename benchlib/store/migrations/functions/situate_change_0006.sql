-- Fills in what a new change leaves out, whoever writes it: the configuration of its series, and the incident that
-- begins with its sweep, which is added when there is none.
CREATE FUNCTION situate_change() RETURNS trigger
LANGUAGE plpgsql
AS $$
DECLARE
    way text := CASE
        WHEN (NEW.after_value < NEW.before_value) = (NEW.metric = 'throughput_inf_per_s') THEN 'worse'
        ELSE 'better'
    END;
BEGIN
    IF NEW.configuration_id IS NULL THEN
        NEW.configuration_id := (
            SELECT series.configuration_id FROM series WHERE series.series_id = NEW.series_id
        );
    END IF;
    IF NEW.incident_id IS NULL THEN
        INSERT INTO incident (configuration_id, direction, last_good_sweep_id, first_bad_sweep_id, opened_at)
        VALUES (NEW.configuration_id, way, NEW.last_good_sweep_id, NEW.first_bad_sweep_id, NEW.detected_at)
        ON CONFLICT DO NOTHING;
        NEW.incident_id := (
            SELECT incident.incident_id
            FROM incident
            WHERE incident.configuration_id = NEW.configuration_id
                AND incident.direction = way
                AND incident.first_bad_sweep_id = NEW.first_bad_sweep_id
        );
    END IF;
    RETURN NEW;
END
$$;

COMMENT ON FUNCTION situate_change() IS
    'Trigger: fills in the configuration of a change and the incident that it is part of';
