-- What an experiment says of each metric at each batch size, and of the geometric mean over them.
CREATE VIEW experiment_judgement AS
SELECT
    experiment.experiment_id,
    judged.batch_size,
    judged.metric,
    judged.old_value,
    judged.new_value,
    judged.relative_change,
    judged.relative_low,
    judged.relative_high,
    judged.pairs,
    judged.p_value,
    judged.adjusted_p_value,
    judged.min_effect,
    judged.verdict
FROM experiment
CROSS JOIN LATERAL jsonb_to_recordset(experiment.judgements) AS judged (
    batch_size integer,
    metric text,
    old_value double precision,
    new_value double precision,
    relative_change double precision,
    relative_low double precision,
    relative_high double precision,
    pairs integer,
    p_value double precision,
    adjusted_p_value double precision,
    min_effect double precision,
    verdict text
);

COMMENT ON VIEW experiment_judgement IS
    'What an experiment says of each metric at each batch size, with interval and verdict, one row each';
