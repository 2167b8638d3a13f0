-- Which changes wait for somebody, and who has looked at them?
-- The worst comes first. at_most: rows.
\if :{?at_most}
\else
    \set at_most 100
\endif

-- Materialized: the worst are chosen before their sweeps and environments are looked up.
WITH worst AS MATERIALIZED (
    SELECT change_id
    FROM open_changes
    ORDER BY direction DESC, abs(relative_change) DESC, change_id
    LIMIT :at_most
)
SELECT
    change_id,
    status,
    coalesce(author, '') AS author,
    model,
    batch_size,
    instance_type,
    hardware,
    metric,
    direction,
    round((relative_change * 100)::numeric, 1) AS change_percent,
    round((relative_low * 100)::numeric, 1) AS low_percent,
    round((relative_high * 100)::numeric, 1) AS high_percent,
    last_good_night,
    first_bad_night,
    environment_changes
FROM worst
INNER JOIN open_changes USING (change_id)
ORDER BY direction DESC, abs(relative_change) DESC, change_id;
