-- Which programs took longest to compile?
-- until, days: the days looked at; at_most: rows.
\if :{?until}
\else
    \set until today
\endif
\if :{?days}
\else
    \set days 365
\endif
\if :{?at_most}
\else
    \set at_most 10
\endif

SELECT
    model,
    batch_size,
    backend,
    hardware,
    sdk,
    night,
    round(compile_duration_s::numeric, 1) AS compile_duration_s,
    round(artifact_size_bytes / 1e6, 1) AS artifact_size_mb
FROM compilation_history
WHERE NOT cache_hit AND night > :'until'::date - :days AND night <= :'until'
ORDER BY compile_duration_s DESC, model, batch_size, night
LIMIT :at_most;
