-- Where did the 99th percentile get worse while the throughput stayed as it was?
-- until; recent_days: the days that are judged; before_days: those before them that they are held against;
-- p99_percent: a smaller rise is let pass; throughput_percent: a larger change is no tail-only matter.
\if :{?until}
\else
    \set until today
\endif
\if :{?recent_days}
\else
    \set recent_days 7
\endif
\if :{?before_days}
\else
    \set before_days 28
\endif
\if :{?p99_percent}
\else
    \set p99_percent 5
\endif
\if :{?throughput_percent}
\else
    \set throughput_percent 1
\endif

WITH level AS (
    SELECT
        series_id,
        night > :'until'::date - :recent_days AS recent,
        count(*) AS sweeps,
        percentile_cont(0.5) WITHIN GROUP (ORDER BY p99_ms) AS p99_ms,
        percentile_cont(0.5) WITHIN GROUP (ORDER BY throughput_inf_per_s) AS throughput
    FROM latency_history
    WHERE p99_ms IS NOT NULL
        AND origin = 'dag'
        AND night > :'until'::date - :recent_days - :before_days
        AND night <= :'until'
    GROUP BY series_id, recent
)
SELECT
    series_list.model,
    series_list.batch_size,
    series_list.instance_type,
    series_list.hardware,
    series_list.replicas,
    round(past.p99_ms::numeric, 3) AS p99_before_ms,
    round(present.p99_ms::numeric, 3) AS p99_ms,
    round((present.p99_ms / past.p99_ms * 100 - 100)::numeric, 1) AS p99_percent,
    round((present.throughput / past.throughput * 100 - 100)::numeric, 1) AS throughput_percent,
    past.sweeps AS sweeps_before,
    present.sweeps
FROM level AS present
INNER JOIN level AS past ON past.series_id = present.series_id AND NOT past.recent
INNER JOIN series_list ON series_list.series_id = present.series_id
WHERE present.recent
    AND present.p99_ms >= past.p99_ms * (1 + :p99_percent / 100.0)
    AND abs(present.throughput / past.throughput - 1) <= :throughput_percent / 100.0
ORDER BY present.p99_ms / past.p99_ms DESC;
