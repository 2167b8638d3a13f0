-- Rendered from the migrations by `python -m benchlib.store.migrate sql`: do not edit.

-- The comparisons of two interpreters, with both environments and the verdict.
CREATE VIEW experiment_history AS
SELECT
    experiment.experiment_id,
    experiment.dag_id,
    experiment.run_id,
    experiment.author,
    experiment.created_at,
    experiment.label,
    experiment.note,
    experiment.host,
    experiment.model,
    experiment.model_revision,
    experiment.sequence_length,
    experiment.batch_sizes,
    experiment.scenario,
    experiment.backend,
    coalesce(older.instance_type, newer.instance_type) AS instance_type,
    older.hardware AND newer.hardware AS hardware,
    coalesce(older.device, newer.device) AS device,
    experiment.old_interpreter,
    experiment.new_interpreter,
    experiment.old_interpreter = experiment.new_interpreter AS with_itself,
    experiment.old_environment_id,
    experiment.new_environment_id,
    older.sdk AS old_sdk,
    newer.sdk AS new_sdk,
    CASE
        WHEN older.environment_id IS NOT NULL AND newer.environment_id IS NOT NULL
            THEN coalesce(differing.changes, 'nothing')
    END AS environment_changes,
    experiment.pairs AS asked_pairs,
    experiment.max_pairs,
    experiment.min_effect,
    experiment.p99_min_effect,
    counted.pairs,
    counted.unusable_pairs,
    experiment.finished_at,
    experiment.verdict,
    experiment.sentence,
    experiment.problems,
    experiment.notes,
    experiment.accepted_at,
    experiment.accepted_by,
    experiment.accepted_reason,
    experiment.spec
FROM experiment
LEFT JOIN environment AS older ON older.environment_id = experiment.old_environment_id
LEFT JOIN environment AS newer ON newer.environment_id = experiment.new_environment_id
CROSS JOIN LATERAL (
    SELECT
        count(*) FILTER (WHERE pair.counts) AS pairs,
        count(*) FILTER (WHERE NOT pair.counts) AS unusable_pairs
    FROM pair
    WHERE pair.experiment_id = experiment.experiment_id
) AS counted
LEFT JOIN LATERAL (
    SELECT
        string_agg(
            difference.field || ' ' || coalesce(difference.before, 'none') || ' -> '
                || coalesce(difference.after, 'none'),
            ', ' ORDER BY difference.rank
        ) AS changes
    FROM environment_diff(experiment.old_environment_id, experiment.new_environment_id) AS difference
) AS differing ON true;

COMMENT ON VIEW experiment_history IS
    'Comparisons of two interpreters in turns on one host, one row each, with both environments and the verdict';
