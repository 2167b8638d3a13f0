"""What an hour of a machine costs, by day, and what that makes of a throughput.

Prices are rows, not settings: each is in force from its day until the next of the same kind, so that the cost
of an old sweep stays what it was. The migrations bring AWS's list prices of inf2; the view `cost` joins them.
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from sqlalchemy import Engine, select
from sqlalchemy.dialects.postgresql import insert

from benchlib.store.faults import explained
from benchlib.store.tables import PriceRow

Kind = Literal["on_demand", "reserved_effective"]
Named = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class Price(BaseModel):
    """Dollars an hour of one kind of machine, from one day on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    instance_type: Named = Field(description="The cloud's name of the machine, such as inf2.xlarge.")
    region_class: Named = Field("us-east", description="Regions that share a price list.")
    kind: Kind = Field("on_demand", description="reserved_effective: a reservation spread over its hours.")
    valid_from: date = Field(description="First day it is in force.")
    usd_per_hour: Decimal = Field(gt=0, max_digits=12, decimal_places=6, allow_inf_nan=False)
    source: Named = Field(description="Where the figure is from, and what it is.")


def usd_per_million_inferences(throughput_inf_per_s: float, usd_per_hour: float) -> float:
    """AWS's own formula: the seconds that a million inferences take, times the price of a second."""
    return (1e6 / throughput_inf_per_s) * (usd_per_hour / 3600)


def add_price(engine: Engine, price: Price) -> None:
    """Store a price, in place of one of the same machine, regions, kind and day.

    Raises:
        DatabaseUnreachable: the database does not answer.
    """
    values = price.model_dump()
    key = [column.name for column in PriceRow.__table__.primary_key]
    statement = insert(PriceRow).values(values).on_conflict_do_update(index_elements=key, set_=values)
    with explained(engine), engine.begin() as connection:
        connection.execute(statement)


def price_on(
    engine: Engine,
    instance_type: str,
    day: date,
    kind: Kind = "on_demand",
    region_class: str = "us-east",
) -> Price | None:
    """The price in force on ``day``; ``None``: none is known.

    Raises:
        DatabaseUnreachable: the database does not answer.
    """
    in_force = (
        select(PriceRow.__table__)
        .where(PriceRow.instance_type == instance_type, PriceRow.valid_from <= day)
        .where(PriceRow.kind == kind, PriceRow.region_class == region_class)
        .order_by(PriceRow.valid_from.desc())
        .limit(1)
    )
    with explained(engine), engine.connect() as connection:
        found = connection.execute(in_force).mappings().one_or_none()
    return None if found is None else Price.model_validate(dict(found))
