-- Rendered from the migrations by `python -m benchlib.store.migrate sql`: do not edit.

-- The measurements that count: of a sweep, a batch size and a scenario the latest attempt that passed all checks.
-- Every view that ranks, averages or prices results is built on this one, so that no other attempt can enter, nor
-- a sweep that only measured again what another one found.
CREATE VIEW valid_measurement AS
SELECT attempt.*
FROM valid_attempt AS attempt
WHERE attempt.sweep_id NOT IN (SELECT sweep_id FROM sweep WHERE confirms_sweep_id IS NOT NULL);

COMMENT ON VIEW valid_measurement IS
    'The measurements that count: the latest attempt that passed all checks, one row per sweep and batch size';
