-- Do the compiled programs grow from one compiler to the next?
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

WITH program AS (
    SELECT
        model,
        model_variant,
        sequence_length,
        precision,
        compiler_args,
        backend,
        batch_size,
        sdk,
        min(night) AS first_night,
        max(artifact_size_bytes) AS size_bytes
    FROM compilation_history
    WHERE model LIKE :'model'
        AND NOT cache_hit
        AND night > :'until'::date - :days
        AND night <= :'until'
    GROUP BY model, model_variant, sequence_length, precision, compiler_args, backend, batch_size, sdk
)
SELECT
    model,
    model_variant,
    backend,
    precision,
    array_to_string(compiler_args, ' ') AS compiler_args,
    batch_size,
    sdk,
    first_night,
    round(size_bytes / 1e6, 1) AS size_mb,
    round(size_bytes * 100.0 / lag(size_bytes) OVER earlier - 100, 1) AS growth_percent
FROM program
WINDOW earlier AS (
    PARTITION BY model, model_variant, sequence_length, precision, compiler_args, backend, batch_size
    ORDER BY first_night
)
ORDER BY
    model, model_variant NULLS FIRST, backend, precision, program.compiler_args, sequence_length, batch_size,
    first_night;
