-- Fills in what a measurement has from its sweep and its series, whoever writes it; adds a series that is new.
-- A failed attempt belongs to no series: nobody knows what would have run.
CREATE FUNCTION place_measurement() RETURNS trigger
LANGUAGE plpgsql
AS $$
DECLARE
    key series;
BEGIN
    SELECT
        sweep.night, sweep.created_at, sweep.origin,
        sweep.model, sweep.model_revision, sweep.sequence_length, sweep.compiler_args, sweep.model_variant
    INTO
        NEW.night, NEW.sweep_created_at, NEW.origin,
        key.model, key.model_revision, key.sequence_length, key.compiler_args, key.model_variant
    FROM sweep
    WHERE sweep.sweep_id = NEW.sweep_id;
    IF NOT FOUND THEN
        RAISE foreign_key_violation USING
            MESSAGE = 'no sweep has this sweep_id: fk_measurement_sweep_id',
            CONSTRAINT = 'fk_measurement_sweep_id';
    END IF;

    NEW.series_id := NULL;
    IF NEW.status = 'failed' THEN
        RETURN NEW;
    END IF;

    SELECT environment.instance_type, environment.hardware
    INTO key.instance_type, key.hardware
    FROM environment
    WHERE environment.environment_id = NEW.environment_id;
    IF NOT FOUND AND NEW.environment_id IS NOT NULL THEN
        RAISE foreign_key_violation USING
            MESSAGE = 'no environment has this environment_id: fk_measurement_environment_id',
            CONSTRAINT = 'fk_measurement_environment_id';
    END IF;

    key.precision := NEW.precision;
    key.batch_size := NEW.batch_size;
    key.scenario := NEW.scenario;
    key.replicas := NEW.replicas;
    key.workers := NEW.workers;
    key.worker_mode := NEW.worker_mode;
    key.backend := NEW.backend;
    -- What a search found is its result, not what was asked for.
    key.arrivals := server_arrivals(
        CASE WHEN NEW.server_trials = '[]' THEN NEW.target_batches_per_s END, NEW.p99_limit_ms
    );
    key.series_id := left(encode(sha256(convert_to(CASE
        WHEN num_nonnulls(key.model_variant, key.arrivals) = 0 THEN ROW(
            key.model, key.model_revision, key.sequence_length, key.precision, key.compiler_args, key.batch_size,
            key.scenario, key.replicas, key.workers, key.worker_mode, key.backend, key.instance_type, key.hardware
        )::text
        ELSE ROW(
            key.model, key.model_revision, key.sequence_length, key.precision, key.compiler_args, key.batch_size,
            key.scenario, key.replicas, key.workers, key.worker_mode, key.backend, key.instance_type, key.hardware,
            key.model_variant, key.arrivals
        )::text
    END, 'UTF8')), 'hex'), 32)::uuid;
    NEW.series_id := key.series_id;

    IF NOT EXISTS (SELECT FROM series WHERE series.series_id = key.series_id) THEN
        BEGIN
            INSERT INTO series SELECT key.* ON CONFLICT DO NOTHING;
        EXCEPTION WHEN check_violation OR not_null_violation THEN
            NULL;  -- the measurement breaks the same rule, and its own constraint says so better
        END;
    END IF;
    RETURN NEW;
END
$$;

COMMENT ON FUNCTION place_measurement() IS
    'Trigger: fills in what a measurement has from its sweep, and the series it belongs to';
