-- How long does each version of the compiler take, and how much memory?
-- Only what was compiled counts, not what was found in the artifact store.
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
    \set days 365
\endif

SELECT
    model,
    backend,
    hardware,
    sdk,
    min(night) AS first_night,
    count(*) AS compilations,
    round(percentile_cont(0.5) WITHIN GROUP (ORDER BY compile_duration_s)::numeric, 1) AS median_duration_s,
    round(max(compile_duration_s)::numeric, 1) AS longest_duration_s,
    round(max(peak_rss_bytes) / 1e9, 2) AS most_memory_gb
FROM compilation_history
WHERE model LIKE :'model'
    AND NOT cache_hit
    AND night > :'until'::date - :days
    AND night <= :'until'
GROUP BY model, backend, hardware, sdk
ORDER BY model, backend, first_night;
