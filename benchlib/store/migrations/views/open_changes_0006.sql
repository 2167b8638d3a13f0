-- The shifts that still want somebody's attention: open, or acknowledged and not yet settled.
CREATE VIEW open_changes AS
SELECT change_history.*
FROM change_history
WHERE change_history.status IN ('open', 'acknowledged');

COMMENT ON VIEW open_changes IS 'Shifts that are open, or acknowledged and not yet settled';
