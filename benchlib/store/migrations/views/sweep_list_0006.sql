-- What was asked, one row per sweep, whatever came of it: also those that have no result yet, or never will.
CREATE VIEW sweep_list AS
SELECT
    sweep_id,
    dag_id,
    run_id,
    origin,
    created_at,
    night,
    label,
    note,
    model,
    model_revision,
    model_variant,
    sequence_length,
    batch_sizes,
    backend,
    precision,
    compiler_args,
    scenario,
    replicas,
    workers,
    worker_mode,
    latency_limit_ms,
    confirms_sweep_id
FROM sweep;

COMMENT ON VIEW sweep_list IS 'All sweeps, as they were asked for, whether or not they have results';
