"""Prices have days, and a cost is what AWS's own formula makes of them."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError
from sqlalchemy import Engine, text

from benchlib.store.prices import Price, add_price, price_on, usd_per_million_inferences
from benchlib.store.repository import Repository
from tests.store import samples
from tests.store.test_environments import INF2

TODAY = samples.NOON.date()
DEARER = Price(
    instance_type="inf2.xlarge",
    valid_from=TODAY,
    usd_per_hour=Decimal("0.9"),
    source="A price list of that day.",
)


def test_a_million_inferences_cost_the_time_they_take() -> None:
    # 1 000 a second: a million take 1 000 s, which is 5/18 of an hour.
    assert usd_per_million_inferences(1000.0, 0.72) == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("instance_type", "on_demand", "reserved"),
    [
        ("inf2.xlarge", "0.758", "0.328"),
        ("inf2.8xlarge", "1.97", "0.850"),
        ("inf2.24xlarge", "6.49", "2.804"),
        ("inf2.48xlarge", "12.981", "5.608"),
    ],
)
def test_list_prices_are_there_and_say_which_they_are(
    engine: Engine, instance_type: str, on_demand: str, reserved: str
) -> None:
    bought = price_on(engine, instance_type, TODAY)
    rented = price_on(engine, instance_type, TODAY, kind="reserved_effective")
    assert bought is not None
    assert rented is not None
    assert (bought.usd_per_hour, rented.usd_per_hour) == (Decimal(on_demand), Decimal(reserved))
    assert bought.source.endswith("on-demand")
    assert "reserved instance, not on-demand" in rented.source


def test_a_price_counts_from_its_day_on(engine: Engine) -> None:
    add_price(engine, DEARER)
    yesterday = price_on(engine, "inf2.xlarge", TODAY - timedelta(days=1))
    assert yesterday is not None
    assert yesterday.usd_per_hour == Decimal("0.758")
    assert price_on(engine, "inf2.xlarge", TODAY) == DEARER
    assert price_on(engine, "inf2.xlarge", TODAY + timedelta(days=1000)) == DEARER


def test_a_price_is_corrected_by_storing_it_again(engine: Engine) -> None:
    add_price(engine, DEARER)
    corrected = DEARER.model_copy(update={"usd_per_hour": Decimal("0.95")})
    add_price(engine, corrected)
    assert price_on(engine, "inf2.xlarge", TODAY) == corrected


@pytest.mark.parametrize(
    "unknown",
    [
        {"instance_type": "inf3.xlarge"},
        {"day": date(2023, 12, 31)},
        {"region_class": "moon"},
    ],
)
def test_no_price_is_made_up(engine: Engine, unknown: dict[str, Any]) -> None:
    assert price_on(engine, **{"instance_type": "inf2.xlarge", "day": TODAY, **unknown}) is None


@pytest.mark.parametrize(
    "impossible",
    [
        {"usd_per_hour": 0},
        {"usd_per_hour": "NaN"},
        {"usd_per_hour": "0.1234567"},
        {"instance_type": " "},
        {"kind": "spot"},
        {"source": ""},
    ],
)
def test_an_impossible_price_is_none(impossible: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Price.model_validate({**DEARER.model_dump(), **impossible})


@pytest.fixture
def measured_twice(engine: Engine) -> Engine:
    """The day before a price rises, and the day itself, on an accelerator; and once on a stand-in for one."""
    standin = INF2.model_copy(update={"hardware": False})
    for run, environment, days in (("before", INF2, -1), ("after", INF2, 0), ("standin", standin, 0)):
        sweep = samples.sweep(run, created_at=samples.NOON + timedelta(days=days))
        result = samples.measured(throughput_inf_per_s=1000.0, environment=environment)
        Repository(engine).record(samples.measurement(sweep=sweep, result=result))
    add_price(engine, DEARER)
    return engine


def test_the_view_takes_the_price_of_the_sweeps_day_and_the_formula(measured_twice: Engine) -> None:
    with measured_twice.connect() as connection:
        rows = connection.execute(
            text("SELECT night, price_kind, usd_per_million_inferences FROM cost ORDER BY 1, 2")
        ).all()
    expected = [
        (TODAY - timedelta(days=1), "on_demand", usd_per_million_inferences(1000.0, 0.758)),
        (TODAY - timedelta(days=1), "reserved_effective", usd_per_million_inferences(1000.0, 0.328)),
        (TODAY, "on_demand", usd_per_million_inferences(1000.0, 0.9)),
        (TODAY, "reserved_effective", usd_per_million_inferences(1000.0, 0.328)),
    ]
    assert [tuple(row) for row in rows] == [
        (night, kind, pytest.approx(usd)) for night, kind, usd in expected
    ]


def test_what_is_no_accelerator_has_no_cost(measured_twice: Engine) -> None:
    with measured_twice.connect() as connection:
        measured = connection.scalar(text("SELECT count(DISTINCT series_id) FROM valid_measurement"))
        priced = connection.scalar(text("SELECT count(DISTINCT series_id) FROM cost WHERE hardware"))
        rest = connection.scalar(text("SELECT count(*) FROM cost WHERE NOT hardware"))
    assert (measured, priced, rest) == (2, 1, 0)
