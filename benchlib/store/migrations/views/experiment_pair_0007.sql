-- The pairs of the experiments: both sides measured one right after the other.
CREATE VIEW experiment_pair AS
SELECT
    pair.experiment_id,
    pair.batch_size,
    pair.pair_number,
    pair.first_side,
    pair.counts,
    pair.reason,
    pair.host,
    pair.recorded_at,
    pair.old_throughput_inf_per_s,
    pair.new_throughput_inf_per_s,
    pair.old_p50_ms,
    pair.new_p50_ms,
    pair.old_p99_ms,
    pair.new_p99_ms,
    pair.old_output_error,
    pair.new_output_error,
    pair.old_failed_checks,
    pair.new_failed_checks
FROM pair;

COMMENT ON VIEW experiment_pair IS 'The pairs of the experiments, with the figures of both sides, one row each';
