-- What do a million inferences cost, at the price of each night?
-- The cheapest comes first. price_kind: on_demand or reserved_effective; region_class; model: a pattern of LIKE;
-- until, days: the days looked at.
\if :{?model}
\else
    \set model '%'
\endif
\if :{?price_kind}
\else
    \set price_kind on_demand
\endif
\if :{?region_class}
\else
    \set region_class us-east
\endif
\if :{?until}
\else
    \set until today
\endif
\if :{?days}
\else
    \set days 30
\endif

SELECT
    model,
    instance_type,
    batch_size,
    replicas,
    count(*) AS sweeps,
    round(percentile_cont(0.5) WITHIN GROUP (ORDER BY throughput_inf_per_s)::numeric, 1)
        AS median_throughput_inf_per_s,
    round(min(usd_per_hour), 3) AS lowest_usd_per_hour,
    round(max(usd_per_hour), 3) AS highest_usd_per_hour,
    round(percentile_cont(0.5) WITHIN GROUP (ORDER BY usd_per_million_inferences)::numeric, 4)
        AS median_usd_per_million
FROM cost
WHERE model LIKE :'model'
    AND price_kind = :'price_kind'
    AND region_class = :'region_class'
    AND origin = 'dag'
    AND night > :'until'::date - :days
    AND night <= :'until'
GROUP BY series_id, model, instance_type, batch_size, replicas
ORDER BY model, median_usd_per_million;
