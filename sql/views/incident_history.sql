-- Rendered from the migrations by `python -m benchlib.store.migrate sql`: do not edit.

-- What people judge: the shifts of one configuration within three nights in one direction, as one.
-- The leading change is the one of throughput rather than of a latency, of the geometric mean rather than of one
-- batch size, and among equals the largest.
CREATE VIEW incident_history AS
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
    incident.incident_id,
    incident.direction,
    coalesce(said.status, 'confirmed') AS status,
    said.author,
    said.annotated_at,
    said.reason,
    incident.opened_at,
    incident.last_good_sweep_id,
    (SELECT sweep.night FROM sweep WHERE sweep.sweep_id = incident.last_good_sweep_id) AS last_good_night,
    incident.first_bad_sweep_id,
    (SELECT sweep.night FROM sweep WHERE sweep.sweep_id = incident.first_bad_sweep_id) AS first_bad_night,
    headline.metric,
    headline.relative_change,
    scope.batch_sizes,
    known.batch_sizes AS batch_sizes_known,
    scope.metrics,
    scope.agreed,
    scope.effect
    * CASE
        WHEN cardinality(scope.batch_sizes) = 0 THEN 1
        ELSE cardinality(scope.batch_sizes)::float8 / known.batch_sizes
    END
    * CASE WHEN scope.agreed THEN 1 ELSE 0.5 END AS importance,
    silence.muted_until,
    (
        SELECT CASE
            WHEN num_nulls(pair.before_id, pair.after_id) > 0 THEN 'not known'
            ELSE coalesce(
                (
                    SELECT string_agg(
                        difference.field || ' ' || coalesce(difference.before, 'none') || ' -> '
                        || coalesce(difference.after, 'none'),
                        ', ' ORDER BY difference.rank
                    )
                    FROM environment_diff(pair.before_id, pair.after_id) AS difference
                ),
                'nothing'
            )
        END
        FROM (
            SELECT
                (
                    SELECT valid.environment_id
                    FROM valid_measurement AS valid
                    INNER JOIN series ON series.series_id = valid.series_id
                    WHERE series.configuration_id = incident.configuration_id
                        AND valid.sweep_id = incident.last_good_sweep_id
                    ORDER BY valid.batch_size
                    LIMIT 1
                ) AS before_id,
                (
                    SELECT valid.environment_id
                    FROM valid_measurement AS valid
                    INNER JOIN series ON series.series_id = valid.series_id
                    WHERE series.configuration_id = incident.configuration_id
                        AND valid.sweep_id = incident.first_bad_sweep_id
                    ORDER BY valid.batch_size
                    LIMIT 1
                ) AS after_id
        ) AS pair
    ) AS environment_changes,
    said.annotation_id
FROM incident
INNER JOIN configuration ON configuration.configuration_id = incident.configuration_id
LEFT JOIN LATERAL (
    SELECT
        annotation.annotation_id, annotation.status, annotation.author, annotation.annotated_at,
        annotation.reason
    FROM annotation
    WHERE annotation.incident_id = incident.incident_id AND annotation.status IS NOT NULL
    ORDER BY annotation.annotated_at DESC, annotation.annotation_id DESC
    LIMIT 1
) AS said ON true
LEFT JOIN LATERAL (
    SELECT change.metric, change.relative_change
    FROM change
    WHERE change.incident_id = incident.incident_id AND change.direction = incident.direction
    ORDER BY
        array_position(
            ARRAY['throughput_inf_per_s', 'p50_ms', 'mean_ms', 'p90_ms', 'p95_ms', 'p99_ms', 'p99_9_ms', 'max_ms'],
            change.metric
        ),
        change.level DESC,
        abs(change.relative_change) DESC,
        change.change_id
    LIMIT 1
) AS headline ON true
CROSS JOIN LATERAL (
    SELECT
        coalesce(array_agg(DISTINCT series.batch_size) FILTER (WHERE series.batch_size IS NOT NULL), '{}')
            AS batch_sizes,
        coalesce(array_agg(DISTINCT change.metric), '{}') AS metrics,
        bool_or(change.agreed) AS agreed,
        max(
            abs(change.relative_change) / coalesce((change.evidence ->> 'effect_floor')::float8, 0.01)
            -- What is compiled once is served a million times.
            * CASE WHEN change.metric IN ('compile_duration_s', 'artifact_size_bytes', 'peak_rss_bytes') THEN 0.1 ELSE 1 END
        ) AS effect
    FROM change
    LEFT JOIN series ON series.series_id = change.series_id
    WHERE change.incident_id = incident.incident_id AND change.direction = incident.direction
) AS scope
CROSS JOIN LATERAL (
    SELECT count(DISTINCT series.batch_size) AS batch_sizes
    FROM series
    WHERE series.configuration_id = incident.configuration_id
) AS known
CROSS JOIN LATERAL (
    SELECT nullif(min(coalesce(covered.until, '-infinity')), '-infinity') AS muted_until
    FROM change
    CROSS JOIN LATERAL (
        SELECT max(mute_history.expires_at) AS until
        FROM mute_history
        WHERE mute_history.in_force
            AND (mute_history.series_id = change.series_id OR configuration.model ~ mute_history.model_regex)
            AND coalesce(mute_history.metric = change.metric, true)
    ) AS covered
    WHERE change.incident_id = incident.incident_id AND change.direction = incident.direction
) AS silence;

COMMENT ON VIEW incident_history IS
    'All incidents: what shifted together, how far, at which batch sizes, where it stands and what differed';
