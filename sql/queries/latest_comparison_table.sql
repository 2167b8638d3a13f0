-- What does the latest comparison table of a model look like?
-- model: a pattern of LIKE; until: the last day.
\if :{?model}
\else
    \set model '%'
\endif
\if :{?until}
\else
    \set until today
\endif

WITH latest AS (
    SELECT sweep_id
    FROM comparison_table
    WHERE model LIKE :'model' AND created_at < :'until'::date + 1
        AND sweep_id NOT IN (SELECT sweep_id FROM sweep_list WHERE confirms_sweep_id IS NOT NULL)
    ORDER BY created_at DESC
    LIMIT 1
)
SELECT
    line.filename AS "Filename",
    line.batch_size AS "Batch",
    line.batches AS "Batches",
    line.inferences AS "Inferences",
    line.workers AS "Threads",
    line.replicas AS "Models",
    round(line.duration_s::numeric, 3) AS "Duration (s)",
    round(line.throughput_inf_per_s::numeric, 3) AS "Throughput (inf/s)",
    round(line.p50_ms::numeric, 3) AS "P50 (ms)",
    round(line.p95_ms::numeric, 3) AS "P95 (ms)",
    round(line.p99_ms::numeric, 3) AS "P99 (ms)",
    CASE WHEN peak.batch_size = line.batch_size THEN 'peak' WHEN line.status <> 'ok' THEN line.status ELSE '' END
        AS "Flag",
    line.reason AS "Reason",
    line.device AS "Device",
    line.hardware AS "Accelerator"
FROM latest
INNER JOIN comparison_table AS line ON line.sweep_id = latest.sweep_id
LEFT JOIN peak ON peak.sweep_id = latest.sweep_id
ORDER BY line.batch_size;
