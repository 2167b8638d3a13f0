"""`bench price`: what an hour of a machine costs."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Annotated

import typer

from benchlib.cli.judging import AsJson, Column, checked, print_json, print_table, reading, say, writing
from benchlib.cli.outputs import DAY
from benchlib.store.judgement_lists import PriceLine, list_prices
from benchlib.store.judgements import set_price
from benchlib.store.prices import Kind, Price

app = typer.Typer(
    help="What an hour of a machine costs, from which day on; a sweep costs what was in force on its night.",
    no_args_is_help=True,
)

COLUMNS = (
    Column("Machine"),
    Column("Regions", dispensable=3),
    Column("Kind"),
    Column("From"),
    Column("Until", dispensable=1),
    Column("USD an hour"),
    Column("In force", dispensable=2),
    Column("Source", wraps=True),
)


@app.command("list")
def list_command(
    instance_type: Annotated[
        str | None, typer.Argument(help="Only this machine, such as inf2.xlarge.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List prices and their days. Each is in force until the next of the same machine, regions and kind."""
    found = list_prices(reading(), instance_type)
    if as_json:
        print_json(found)
    elif not found:
        say("No price is stored" + (f" of {instance_type}." if instance_type else "."))
    else:
        today = datetime.now(UTC).date()
        print_table(COLUMNS, (_cells(each, today) for each in found))


@app.command()
def add(
    instance_type: Annotated[
        str, typer.Argument(help="The cloud's name of the machine, such as inf2.xlarge.")
    ],
    usd_per_hour: Annotated[str, typer.Argument(help="US dollars per machine and hour, such as 0.7582.")],
    source: Annotated[
        str, typer.Option("--source", help="Where the figure is from, such as a price list and its date.")
    ],
    valid_from: Annotated[datetime, typer.Option("--from", formats=[DAY], help="First day it is in force.")],
    region_class: Annotated[
        str, typer.Option("--regions", help="Regions that share a price list.")
    ] = "us-east",
    kind: Annotated[
        Kind, typer.Option("--kind", help="reserved_effective: a reservation spread over its hours.")
    ] = "on_demand",
    replace: Annotated[
        bool, typer.Option("--replace", help="Correct the price that is stored for that day.")
    ] = False,
) -> None:
    """Add the price of a machine from a day on.

    The cost of every sweep from that day to the next price follows, also of sweeps that have been. A price
    that is stored for the same day stays, unless you say --replace.
    """
    price = checked(
        Price,
        instance_type=instance_type,
        usd_per_hour=usd_per_hour,
        source=source,
        valid_from=valid_from.date(),
        region_class=region_class,
        kind=kind,
    )
    changed = set_price(writing().engine, price, replace)
    typer.echo("stored" if changed else "stored already; nothing written")


def _cells(line: PriceLine, today: date) -> tuple[str, ...]:
    ended = line.valid_before is not None and line.valid_before <= today
    return (
        line.instance_type,
        line.region_class,
        line.price_kind,
        str(line.valid_from),
        "" if line.valid_before is None else f"before {line.valid_before}",
        f"{line.usd_per_hour.normalize():f}",
        "no" if ended or line.valid_from > today else "yes",
        line.price_source,
    )
