-- Rendered from the migrations by `python -m benchlib.store.migrate sql`: do not edit.

-- The shifts that were found, each with where it stands: as its incident does; suspect, confirmed and reopened
-- ones are open. Shifts of a geometric mean belong to no series: incident_change has those too.
CREATE VIEW change_history AS
SELECT
    series.series_id,
    series.model,
    series.model_revision,
    series.sequence_length,
    series.precision,
    series.compiler_args,
    series.batch_size,
    series.scenario,
    series.replicas,
    series.workers,
    series.worker_mode,
    series.backend,
    series.instance_type,
    series.hardware,
    change.change_id,
    change.metric,
    change.direction,
    change.before_value,
    change.after_value,
    change.relative_change,
    change.relative_low,
    change.relative_high,
    change.confidence,
    change.last_good_sweep_id,
    good.night AS last_good_night,
    change.first_bad_sweep_id,
    bad.night AS first_bad_night,
    change.detected_at,
    change.detector,
    CASE
        WHEN said.status IS NULL OR said.status IN ('suspect', 'confirmed', 'reopened') THEN 'open'
        ELSE said.status
    END AS status,
    said.author,
    said.annotated_at,
    said.reason,
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
                    WHERE valid.series_id = change.series_id AND valid.sweep_id = change.last_good_sweep_id
                ) AS before_id,
                (
                    SELECT valid.environment_id
                    FROM valid_measurement AS valid
                    WHERE valid.series_id = change.series_id AND valid.sweep_id = change.first_bad_sweep_id
                ) AS after_id
        ) AS pair
    ) AS environment_changes,
    series.model_variant,
    series.arrivals,
    change.configuration_id,
    change.incident_id,
    change.agreed
FROM change
INNER JOIN series ON series.series_id = change.series_id
INNER JOIN sweep AS good ON good.sweep_id = change.last_good_sweep_id
INNER JOIN sweep AS bad ON bad.sweep_id = change.first_bad_sweep_id
LEFT JOIN LATERAL (
    SELECT annotation.status, annotation.author, annotation.annotated_at, annotation.reason
    FROM annotation
    WHERE annotation.incident_id = change.incident_id AND annotation.status IS NOT NULL
    ORDER BY annotation.annotated_at DESC, annotation.annotation_id DESC
    LIMIT 1
) AS said ON true;

COMMENT ON VIEW change_history IS
    'All shifts that were found, with their size, their status and what changed in the environment';
