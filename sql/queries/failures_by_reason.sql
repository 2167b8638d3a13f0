-- What fails, how often, and does trying again help?
-- Messages that differ in numbers only count as one. until, days: the days looked at.
\if :{?until}
\else
    \set until today
\endif
\if :{?days}
\else
    \set days 90
\endif

SELECT
    stage,
    failure_kind,
    regexp_replace(failure_message, '[0-9]+', 'N', 'g') AS reason,
    count(*) AS attempts,
    count(DISTINCT sweep_id) AS sweeps,
    count(*) FILTER (WHERE recovered) AS recovered,
    string_agg(DISTINCT model, ', ' ORDER BY model) AS models,
    max(night) AS last_night
FROM failure_history
WHERE night > :'until'::date - :days AND night <= :'until'
GROUP BY stage, failure_kind, reason
ORDER BY attempts DESC, last_night DESC, reason;
