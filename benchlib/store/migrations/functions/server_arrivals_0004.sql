-- How the arrivals of a server measurement are told apart: by their rate or, where that is searched, by the limit.
-- The figures go through numeric, which is written the same way whatever the session's settings are.
CREATE FUNCTION server_arrivals(rate_per_s double precision, p99_limit_ms double precision) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT CASE
        WHEN $1 IS NULL THEN 'search p99<=' || trim_scale($2::numeric) || 'ms'
        ELSE 'rate ' || trim_scale($1::numeric) || '/s'
    END
$$;

COMMENT ON FUNCTION server_arrivals(double precision, double precision) IS
    'Names the arrivals of a server measurement by their rate or, for a search, by its limit; NULL for neither';
