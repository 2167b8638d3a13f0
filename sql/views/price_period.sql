-- Rendered from the migrations by `python -m benchlib.store.migrate sql`: do not edit.

-- Prices of machines with the days between which they are in force.
CREATE VIEW price_period AS
SELECT
    price.instance_type,
    price.region_class,
    price.kind AS price_kind,
    price.valid_from,
    lead(price.valid_from) OVER later AS valid_before,
    price.usd_per_hour,
    price.source AS price_source
FROM price
WINDOW later AS (
    PARTITION BY price.instance_type, price.region_class, price.kind
    ORDER BY price.valid_from
);

COMMENT ON VIEW price_period IS 'Prices of machines in US dollars an hour, and the days they are in force';
