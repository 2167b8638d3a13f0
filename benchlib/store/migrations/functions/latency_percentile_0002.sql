-- A percentile of latency in ms, from any number of histograms: a bucket may be named many times.
-- Order statistics are taken as 2 * growth ^ bucket / (growth + 1), within 1 percent of the truth, and interpolated
-- linearly (Hyndman and Fan 1996, definition 7), so that the result is within 1 percent of what all samples give.
-- NULL where fewer than one batch is expected above the percentile.
CREATE FUNCTION latency_percentile(buckets integer[], batches bigint[], percent double precision)
RETURNS double precision
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$
    WITH merged AS (
        SELECT
            2 * power(1.01::double precision / 0.99, pair.bucket) / (1.01::double precision / 0.99 + 1) AS ms,
            sum(sum(pair.batches)) OVER (ORDER BY pair.bucket) AS up_to
        FROM unnest($1, $2) AS pair (bucket, batches)
        GROUP BY pair.bucket
    ),
    target AS (
        SELECT max(merged.up_to) AS total, (max(merged.up_to) - 1)::double precision * $3 / 100 AS place
        FROM merged
    )
    SELECT below.ms + (target.place - floor(target.place)) * (above.ms - below.ms)
    FROM target
    CROSS JOIN LATERAL (
        SELECT min(merged.ms) AS ms FROM merged WHERE merged.up_to > floor(target.place)
    ) AS below
    CROSS JOIN LATERAL (
        SELECT min(merged.ms) AS ms FROM merged WHERE merged.up_to > ceil(target.place)
    ) AS above
    WHERE $3 >= 0 AND target.total * (1 - $3 / 100) >= 1 - 1e-9
$$;

COMMENT ON FUNCTION latency_percentile(integer[], bigint[], double precision) IS
    'Percentile of latency in ms within 1 percent, of one histogram or of many appended to each other';
