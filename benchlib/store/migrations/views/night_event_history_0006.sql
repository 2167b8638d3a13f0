-- What happened on single nights and is no lasting change, with whose it is.
CREATE VIEW night_event_history AS
SELECT
    configuration.configuration_id,
    configuration.model,
    configuration.model_revision,
    configuration.sequence_length,
    configuration.precision,
    configuration.compiler_args,
    configuration.scenario,
    configuration.replicas,
    configuration.workers,
    configuration.worker_mode,
    configuration.backend,
    configuration.instance_type,
    configuration.hardware,
    configuration.model_variant,
    configuration.arrivals,
    night_event.night_event_id,
    night_event.night,
    night_event.kind,
    night_event.series_id,
    series.batch_size,
    night_event.metric,
    night_event.sweep_id,
    night_event.detected_at,
    night_event.detector,
    night_event.evidence
FROM night_event
INNER JOIN configuration ON configuration.configuration_id = night_event.configuration_id
LEFT JOIN series ON series.series_id = night_event.series_id;

COMMENT ON VIEW night_event_history IS
    'Gaps, suspicious figures, outliers and slow trends: what a night had that is no lasting change';
