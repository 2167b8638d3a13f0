-- When did the environment change, in what, and how many series went along?
-- until, days: the days looked at.
\if :{?until}
\else
    \set until today
\endif
\if :{?days}
\else
    \set days 90
\endif

WITH step AS (
    SELECT
        series_id,
        instance_type,
        night,
        environment_id AS after,
        lag(environment_id) OVER (PARTITION BY series_id ORDER BY created_at) AS before
    FROM throughput_history
    WHERE origin = 'dag' AND night > :'until'::date - :days AND night <= :'until'
),
change AS (
    SELECT
        before,
        after,
        instance_type,
        min(night) AS night,
        count(DISTINCT series_id) AS series
    FROM step
    WHERE before <> after
    GROUP BY before, after, instance_type
)
SELECT
    change.night,
    change.instance_type,
    change.series,
    string_agg(
        difference.field || ' ' || coalesce(difference.before, 'none') || ' -> '
        || coalesce(difference.after, 'none'),
        ', ' ORDER BY difference.rank
    ) AS differences
FROM change
CROSS JOIN LATERAL environment_diff(change.before, change.after) AS difference
GROUP BY change.before, change.after, change.night, change.instance_type, change.series
ORDER BY change.night, change.instance_type, differences;
