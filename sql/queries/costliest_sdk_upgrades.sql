-- Which SDK upgrade cost most throughput, and where most?
-- Per series, the median under the new SDK is held against that under the one before; the change of an upgrade is
-- the geometric mean over its series.
-- model: a pattern of LIKE; until, days: the days looked at.
\if :{?model}
\else
    \set model '%'
\endif
\if :{?until}
\else
    \set until today
\endif
\if :{?days}
\else
    \set days 180
\endif

WITH under_sdk AS (
    SELECT
        series_id,
        sdk,
        min(night) AS first_night,
        percentile_cont(0.5) WITHIN GROUP (ORDER BY throughput_inf_per_s) AS throughput
    FROM throughput_history
    WHERE model LIKE :'model' AND origin = 'dag' AND night > :'until'::date - :days AND night <= :'until'
    GROUP BY series_id, sdk
),
upgrade AS (
    SELECT
        series_id,
        first_night,
        sdk,
        lag(sdk) OVER earlier AS previous_sdk,
        throughput / lag(throughput) OVER earlier AS ratio
    FROM under_sdk
    WINDOW earlier AS (PARTITION BY series_id ORDER BY first_night)
)
SELECT
    upgrade.previous_sdk,
    upgrade.sdk,
    min(upgrade.first_night) AS first_night,
    count(*) AS series,
    round((exp(avg(ln(upgrade.ratio))) * 100 - 100)::numeric, 2) AS change_percent,
    round(min(upgrade.ratio * 100 - 100)::numeric, 2) AS worst_percent,
    (array_agg(
        series_list.model || ', batch size ' || series_list.batch_size || ', '
        || coalesce(series_list.instance_type, series_list.backend)
        ORDER BY upgrade.ratio
    ))[1] AS worst_series
FROM upgrade
INNER JOIN series_list ON series_list.series_id = upgrade.series_id
WHERE upgrade.previous_sdk IS NOT NULL
GROUP BY upgrade.previous_sdk, upgrade.sdk
ORDER BY change_percent;
