-- Which checks fail most, by how much, and where?
-- The share is of all measurements, valid and invalid, that were made here. until, days: the days looked at.
\if :{?until}
\else
    \set until today
\endif
\if :{?days}
\else
    \set days 90
\endif

WITH failed AS (
    SELECT *
    FROM failed_check
    WHERE origin = 'dag' AND night > :'until'::date - :days AND night <= :'until'
),
believed AS (
    SELECT count(*) AS measurements
    FROM valid_measurement
    WHERE origin = 'dag' AND night > :'until'::date - :days AND night <= :'until'
),
doubted AS (
    SELECT count(*) AS measurements
    FROM (SELECT DISTINCT series_id, sweep_id, attempt FROM failed) AS attempt
)
SELECT
    failed.check_name,
    count(*) AS measurements,
    round(count(*) * 100.0 / (min(believed.measurements) + min(doubted.measurements)), 2) AS share_percent,
    round(percentile_cont(0.5) WITHIN GROUP (ORDER BY failed.figure)::numeric, 4) AS median_figure,
    round(percentile_cont(0.5) WITHIN GROUP (ORDER BY failed.figure_limit)::numeric, 4) AS figure_limit,
    max(failed.unit) AS unit,
    max(failed.night) AS last_night,
    mode() WITHIN GROUP (ORDER BY failed.model || ' on ' || coalesce(failed.instance_type, failed.backend))
        AS mostly
FROM failed
CROSS JOIN believed
CROSS JOIN doubted
GROUP BY failed.check_name
ORDER BY measurements DESC, failed.check_name;
