-- After a correction of what a series is made of, by hand: its measurements move to where they belong now.
-- The argument names the column by which measurement refers to the corrected table.
CREATE FUNCTION place_again() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    IF TG_ARGV[0] = 'sweep_id' THEN
        UPDATE measurement SET series_id = series_id WHERE sweep_id = NEW.sweep_id;
    ELSE
        UPDATE measurement SET series_id = series_id WHERE environment_id = NEW.environment_id;
    END IF;
    RETURN NULL;
END
$$;

COMMENT ON FUNCTION place_again() IS
    'Trigger: moves measurements to their new series when a sweep or an environment was corrected';
