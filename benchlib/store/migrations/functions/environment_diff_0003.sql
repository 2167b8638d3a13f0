-- What differs between two environments, likeliest cause first. An environment that does not exist has no field,
-- so that everything about the other one differs.
CREATE FUNCTION environment_diff(a uuid, b uuid)
RETURNS TABLE (field text, before text, after text, rank integer)
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT
        coalesce(earlier.field, later.field) AS field,
        earlier.value AS before,
        later.value AS after,
        coalesce(earlier.rank, later.rank) AS rank
    FROM (SELECT * FROM environment_field WHERE environment_field.environment_id = a) AS earlier
    FULL JOIN (SELECT * FROM environment_field WHERE environment_field.environment_id = b) AS later
        ON later.rank = earlier.rank
    WHERE earlier.value IS DISTINCT FROM later.value
    ORDER BY coalesce(earlier.rank, later.rank);
END;

COMMENT ON FUNCTION environment_diff(uuid, uuid) IS
    'What differs between environment a (before) and environment b (after), likeliest cause first';
