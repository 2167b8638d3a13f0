-- Fills in the configuration of a series, whoever writes it; adds a configuration that is new.
CREATE FUNCTION place_series() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    NEW.configuration_id := left(encode(sha256(convert_to(ROW(
        NEW.model, NEW.model_revision, NEW.sequence_length, NEW.precision, NEW.compiler_args, NEW.scenario,
        NEW.replicas, NEW.workers, NEW.worker_mode, NEW.backend, NEW.instance_type, NEW.hardware,
        NEW.model_variant, NEW.arrivals
    )::text, 'UTF8')), 'hex'), 32)::uuid;
    IF NOT EXISTS (SELECT FROM configuration WHERE configuration.configuration_id = NEW.configuration_id) THEN
        INSERT INTO configuration VALUES (
            NEW.configuration_id, NEW.model, NEW.model_revision, NEW.sequence_length, NEW.precision,
            NEW.compiler_args, NEW.scenario, NEW.replicas, NEW.workers, NEW.worker_mode, NEW.backend,
            NEW.instance_type, NEW.hardware, NEW.model_variant, NEW.arrivals
        ) ON CONFLICT DO NOTHING;
    END IF;
    RETURN NEW;
END
$$;

COMMENT ON FUNCTION place_series() IS
    'Trigger: fills in the configuration that a series belongs to';
