-- Refuses a change or a baseline whose sweeps have no valid measurement in its series, or run backwards. A change
-- without a series is of the geometric mean: any series of its configuration will do.
-- The arguments name the columns of the earlier and of the later sweep.
CREATE FUNCTION require_valid_sweeps() RETURNS trigger
LANGUAGE plpgsql
AS $$
DECLARE
    earlier uuid := to_jsonb(NEW) ->> TG_ARGV[0];
    later uuid := to_jsonb(NEW) ->> TG_ARGV[1];
    configuration uuid := to_jsonb(NEW) ->> 'configuration_id';
BEGIN
    IF EXISTS (
        SELECT FROM unnest(ARRAY[earlier, later]) AS named (sweep_id)
        WHERE NOT EXISTS (
            SELECT FROM valid_measurement AS valid
            WHERE valid.sweep_id = named.sweep_id
                AND valid.series_id IN (
                    SELECT NEW.series_id
                    UNION ALL
                    SELECT series.series_id
                    FROM series
                    WHERE NEW.series_id IS NULL AND series.configuration_id = configuration
                )
        )
    ) THEN
        RAISE check_violation USING
            MESSAGE = 'the ' || TG_TABLE_NAME || ' names a sweep without a valid measurement in its series',
            CONSTRAINT = 'ck_' || TG_TABLE_NAME || '_valid_sweeps';
    END IF;
    IF (SELECT created_at FROM sweep WHERE sweep_id = earlier)
        > (SELECT created_at FROM sweep WHERE sweep_id = later)
    THEN
        RAISE check_violation USING
            MESSAGE = 'the ' || TG_TABLE_NAME || ' names its sweeps in the wrong order of time',
            CONSTRAINT = 'ck_' || TG_TABLE_NAME || '_sweeps_ascend';
    END IF;
    RETURN NEW;
END
$$;

COMMENT ON FUNCTION require_valid_sweeps() IS
    'Trigger: a change or a baseline may only name sweeps with a valid measurement in its series';
