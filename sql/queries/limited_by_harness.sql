-- Which results say more about the load generator than about the device?
-- Either its loop cost more than overhead_percent of the latency, or it shows less than ideal_percent of an ideal
-- device. Invalid measurements are listed too. until, days: the nights looked at.
\if :{?overhead_percent}
\else
    \set overhead_percent 1
\endif
\if :{?ideal_percent}
\else
    \set ideal_percent 95
\endif
\if :{?until}
\else
    \set until today
\endif
\if :{?days}
\else
    \set days 14
\endif

SELECT
    series_list.model,
    series_list.instance_type,
    series_list.hardware,
    harness.batch_size,
    harness.workers,
    harness.worker_mode,
    count(*) AS measurements,
    max(harness.night) AS last_night,
    round((max(harness.share_of_latency) * 100)::numeric, 2) AS overhead_percent,
    round((min(harness.share_of_ideal) * 100)::numeric, 1) AS ideal_percent,
    mode() WITHIN GROUP (ORDER BY harness.topology) AS topology
FROM measurement_harness AS harness
INNER JOIN series_list ON series_list.series_id = harness.series_id
WHERE harness.night > :'until'::date - :days
    AND harness.night <= :'until'
    AND (harness.share_of_latency * 100 > :overhead_percent OR harness.share_of_ideal * 100 < :ideal_percent)
GROUP BY
    series_list.series_id,
    series_list.model,
    series_list.instance_type,
    series_list.hardware,
    harness.batch_size,
    harness.workers,
    harness.worker_mode
ORDER BY overhead_percent DESC, series_list.model, harness.batch_size;
