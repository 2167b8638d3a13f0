-- Two roles for people and programs that log in with accounts of their own:
--
--   bench_reader  reads the views and nothing else
--   bench_writer  reads and writes the tables, as the benchmarks do, and changes no table's shape
--
-- Run it as the owner of the tables, on the database that holds them, after every upgrade; doing so again changes
-- nothing:
--
--   psql -v ON_ERROR_STOP=1 -f sql/roles.sql -d bench
--   CREATE ROLE ana LOGIN PASSWORD '...' IN ROLE bench_reader;
--
-- Every table and view is named: other programs may keep theirs in the same schema.

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'bench_reader') THEN
        CREATE ROLE bench_reader NOLOGIN;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'bench_writer') THEN
        CREATE ROLE bench_writer NOLOGIN;
    END IF;
END
$$;

SELECT current_schema() AS schema \gset
GRANT USAGE ON SCHEMA :"schema" TO bench_reader, bench_writer;

GRANT SELECT ON
    annotation_history,
    change_history,
    comparison_table,
    compilation_history,
    cost,
    coverage,
    current_baseline,
    environment_difference,
    environment_field,
    experiment_history,
    experiment_judgement,
    experiment_pair,
    failed_check,
    failure_history,
    incident_change,
    incident_history,
    latency_bucket,
    latency_history,
    measurement_check,
    measurement_harness,
    measurement_reading,
    measurement_round,
    mute_history,
    night_event_history,
    night_value,
    open_changes,
    open_incidents,
    peak,
    price_period,
    sdk_comparison,
    series_list,
    server_history,
    server_trial,
    sweep_list,
    throughput_history,
    valid_attempt,
    valid_measurement
TO bench_reader, bench_writer;

GRANT SELECT, INSERT, UPDATE, DELETE ON
    annotation,
    baseline,
    change,
    compilation,
    configuration,
    environment,
    experiment,
    incident,
    measurement,
    mute,
    night_event,
    notice,
    pair,
    price,
    round,
    series,
    sweep
TO bench_writer;

-- How a program tells whether the tables are those it expects.
GRANT SELECT ON bench_alembic_version TO bench_writer;
