-- What detection goes by: of each valid measurement made here the median over its rounds, which one disturbed round
-- cannot move, and the percentiles of all its batches. What a night was confirmed by is told apart: it is never the
-- value of the night.
CREATE VIEW night_value AS
SELECT
    valid.series_id,
    valid.batch_size,
    valid.night,
    valid.created_at,
    valid.sweep_id,
    sweep.confirms_sweep_id,
    valid.environment_id,
    windows.rounds,
    coalesce(windows.quartiles[2], valid.throughput_inf_per_s) AS throughput_inf_per_s,
    CASE
        WHEN windows.rounds > 1 THEN (windows.quartiles[3] - windows.quartiles[1]) / 1.349 / windows.quartiles[2]
    END AS throughput_spread,
    valid.p50_ms,
    valid.p90_ms,
    valid.p95_ms,
    valid.p99_ms
FROM valid_attempt AS valid
INNER JOIN sweep ON sweep.sweep_id = valid.sweep_id
CROSS JOIN LATERAL (
    SELECT
        count(*) AS rounds,
        percentile_cont(ARRAY[0.25, 0.5, 0.75]) WITHIN GROUP (ORDER BY round.throughput_inf_per_s) AS quartiles
    FROM round
    WHERE round.measurement_id = valid.measurement_id
) AS windows
WHERE valid.origin = 'dag';

COMMENT ON VIEW night_value IS
    'What changes are detected in: medians over the rounds of each valid measurement that was made here';
