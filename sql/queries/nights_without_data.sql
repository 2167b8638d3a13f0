-- Which nights have no valid figure, since when, and why?
-- One row per gap. A series that was silent for longer than given_up_days before the days looked at counts as
-- given up and is left out. until, days: the days looked at.
\if :{?until}
\else
    \set until today
\endif
\if :{?days}
\else
    \set days 30
\endif
\if :{?given_up_days}
\else
    \set given_up_days 30
\endif

WITH gap AS (
    SELECT
        coverage.*,
        night - row_number() OVER (PARTITION BY series_id, state, reason ORDER BY night)::integer AS island
    FROM coverage
    WHERE state <> 'valid'
        AND night > :'until'::date - :days
        AND night <= :'until'
        AND last_night >= :'until'::date - :days - :given_up_days
)
SELECT
    model,
    batch_size,
    instance_type,
    hardware,
    replicas,
    min(night) AS first_night,
    max(night) AS last_night,
    count(*) AS nights,
    state,
    reason
FROM gap
GROUP BY series_id, model, batch_size, instance_type, hardware, replicas, state, reason, island
ORDER BY first_night, model, batch_size, instance_type, replicas;
