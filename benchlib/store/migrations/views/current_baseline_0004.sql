-- What each series is judged against now: the pinned baseline, or else the automatic one. The figures are those
-- of the valid measurements in its range, as they stand today.
CREATE VIEW current_baseline AS
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
    chosen.kind AS baseline_kind,
    chosen.author,
    chosen.reason,
    chosen.set_at,
    chosen.first_sweep_id,
    opening.night AS first_night,
    chosen.last_sweep_id,
    closing.night AS last_night,
    level.sweeps,
    level.median_throughput_inf_per_s,
    level.median_p50_ms,
    level.median_p99_ms,
    series.model_variant,
    series.arrivals
FROM series
CROSS JOIN LATERAL (
    SELECT baseline.*
    FROM baseline
    WHERE baseline.series_id = series.series_id AND baseline.withdrawn_at IS NULL
    ORDER BY baseline.kind = 'pinned' DESC
    LIMIT 1
) AS chosen
INNER JOIN sweep AS opening ON opening.sweep_id = chosen.first_sweep_id
INNER JOIN sweep AS closing ON closing.sweep_id = chosen.last_sweep_id
CROSS JOIN LATERAL (
    SELECT
        count(*) AS sweeps,
        percentile_cont(0.5) WITHIN GROUP (ORDER BY valid.throughput_inf_per_s) AS median_throughput_inf_per_s,
        percentile_cont(0.5) WITHIN GROUP (ORDER BY valid.p50_ms) AS median_p50_ms,
        percentile_cont(0.5) WITHIN GROUP (ORDER BY valid.p99_ms) AS median_p99_ms
    FROM valid_measurement AS valid
    WHERE valid.series_id = series.series_id
        AND valid.night BETWEEN opening.night AND closing.night
        AND valid.created_at BETWEEN opening.created_at AND closing.created_at
) AS level;

COMMENT ON VIEW current_baseline IS
    'What each series is judged against now: who chose it, why, and its level from valid measurements';
