-- What each SDK made of each series, and how it compares with the SDK before it. Imported figures are kept apart
-- from those measured here. Medians, so that one odd night decides nothing.
CREATE VIEW sdk_comparison AS
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
    step.origin,
    step.sdk,
    step.neuron_sdk,
    step.neuronx_cc,
    step.torch_neuronx,
    step.neuron_runtime,
    step.neuron_driver,
    step.torch,
    step.first_night,
    step.last_night,
    step.nights,
    step.median_throughput_inf_per_s,
    step.median_p50_ms,
    step.median_p99_ms,
    step.previous_sdk,
    step.throughput_change,
    step.p50_change,
    step.p99_change,
    series.model_variant,
    series.arrivals
FROM series
CROSS JOIN LATERAL (
    SELECT
        period.*,
        versions.*,
        lag(versions.sdk) OVER earlier AS previous_sdk,
        period.median_throughput_inf_per_s / lag(period.median_throughput_inf_per_s) OVER earlier - 1
            AS throughput_change,
        period.median_p50_ms / lag(period.median_p50_ms) OVER earlier - 1 AS p50_change,
        period.median_p99_ms / lag(period.median_p99_ms) OVER earlier - 1 AS p99_change
    FROM (
        SELECT
            valid.origin,
            same.example_id,
            min(valid.night) AS first_night,
            max(valid.night) AS last_night,
            count(DISTINCT valid.night) AS nights,
            percentile_cont(0.5) WITHIN GROUP (ORDER BY valid.throughput_inf_per_s)
                AS median_throughput_inf_per_s,
            percentile_cont(0.5) WITHIN GROUP (ORDER BY valid.p50_ms) AS median_p50_ms,
            percentile_cont(0.5) WITHIN GROUP (ORDER BY valid.p99_ms) AS median_p99_ms
        FROM valid_measurement AS valid
        -- Environments with the same versions are one; grouping by one of them is cheaper than by all versions.
        INNER JOIN (
            SELECT
                environment.environment_id,
                first_value(environment.environment_id) OVER (
                    PARTITION BY
                        environment.sdk,
                        environment.neuron_sdk,
                        environment.neuronx_cc,
                        environment.torch_neuronx,
                        environment.neuron_runtime,
                        environment.neuron_driver,
                        environment.torch
                    ORDER BY environment.environment_id
                ) AS example_id
            FROM environment
        ) AS same ON same.environment_id = valid.environment_id
        WHERE valid.series_id = series.series_id
        GROUP BY valid.origin, same.example_id
    ) AS period
    INNER JOIN (
        SELECT
            environment.environment_id,
            environment.sdk,
            environment.neuron_sdk,
            environment.neuronx_cc,
            environment.torch_neuronx,
            environment.neuron_runtime,
            environment.neuron_driver,
            environment.torch
        FROM environment
    ) AS versions ON versions.environment_id = period.example_id
    WINDOW earlier AS (PARTITION BY period.origin ORDER BY period.first_night, period.last_night)
) AS step;

COMMENT ON VIEW sdk_comparison IS
    'Each series under each SDK, one row per set of versions, with the change from the SDK before';
