-- What a million inferences cost at the price of the sweep's day:
-- (1e6 / throughput) * (dollars an hour / 3600), one row per kind of price and class of regions.
-- Real accelerators only: the speed of a CPU or a stand-in times the price of an accelerator means nothing.
-- Where no price was in force there is no row.
CREATE VIEW cost AS
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
    valid.night,
    valid.created_at,
    valid.sweep_id,
    valid.origin,
    sweep.label,
    environment.sdk,
    valid.throughput_inf_per_s,
    valid.p99_ms,
    period.region_class,
    period.price_kind,
    period.valid_from,
    period.usd_per_hour,
    (1e6 / valid.throughput_inf_per_s) * (period.usd_per_hour::double precision / 3600)
        AS usd_per_million_inferences,
    series.model_variant,
    series.arrivals
FROM valid_measurement AS valid
INNER JOIN series ON series.series_id = valid.series_id
-- Left, though every measurement has both: what a query does not ask for is then not read.
LEFT JOIN sweep ON sweep.sweep_id = valid.sweep_id
LEFT JOIN environment ON environment.environment_id = valid.environment_id
INNER JOIN price_period AS period
    ON period.instance_type = series.instance_type
    AND period.valid_from <= valid.night
    AND coalesce(period.valid_before, 'infinity') > valid.night
WHERE series.hardware;

COMMENT ON VIEW cost IS 'US dollars per million inferences at the price of the day; real accelerators only';
