"""`bench mute`: what nobody wants to hear of for a while."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from benchlib.cli.judging import (
    AsJson,
    Author,
    Column,
    Reason,
    print_json,
    print_table,
    reading,
    remark_of,
    say,
    writing,
)
from benchlib.cli.outputs import DAY
from benchlib.errors import BadInput
from benchlib.report.table import NOTHING, SHORT_ID_CHARS
from benchlib.store import mutes
from benchlib.store.incidents import MuteLine, list_mutes
from benchlib.store.judgement_lists import find_series

app = typer.Typer(
    help="What nobody wants to hear of for a while: changes are found, but neither listed nor told.",
    no_args_is_help=True,
)

COLUMNS = (
    Column("Mute"),
    Column("What"),
    Column("Metric"),
    Column("Until"),
    Column("Who", dispensable=1),
    Column("Why", wraps=True),
    Column("Ended", dispensable=2),
)

Metric = Annotated[str | None, typer.Option("--metric", help="Only this one, such as p99_ms. Default: all.")]
Days = Annotated[int | None, typer.Option("--days", min=1, help="For so many days from now.")]
Until = Annotated[
    datetime | None, typer.Option("--until", formats=[DAY], help="Until the end of this day, UTC.")
]


@app.command()
def model(
    pattern: Annotated[str, typer.Argument(help="Its name, or a pattern with * and ? in quotes.")],
    reason: Reason,
    days: Days = None,
    until: Until = None,
    metric: Metric = None,
    author: Author = None,
) -> None:
    """Mute all series of a model, or of all models that a pattern fits. A mute always has an end."""
    _mute(pattern, _expiry(days, until), reason, metric, author)


@app.command()
def series(
    series: Annotated[str, typer.Argument(help="The beginning of its id.")],
    reason: Reason,
    days: Days = None,
    until: Until = None,
    metric: Metric = None,
    author: Author = None,
) -> None:
    """Mute one series: one batch size of one model on one kind of machine. The mean over all is heard on."""
    expires_at = _expiry(days, until)
    _mute(find_series(writing().engine, series), expires_at, reason, metric, author)


@app.command()
def end(
    mute: Annotated[int, typer.Argument(help="Its number, as `bench mute list` shows it.")],
    reason: Reason,
    author: Author = None,
) -> None:
    """End a mute before it expires by itself: what began meanwhile is told from now on."""
    ended = mutes.unmute(writing().engine, mute, remark_of(author, reason))
    typer.echo(f"mute {mute} ended" if ended else f"mute {mute} has ended already; nothing written")


@app.command("list")
def list_command(
    every: Annotated[bool, typer.Option("--all", help="Also those that have ended.")] = False,
    as_json: AsJson = False,
) -> None:
    """List what is muted, by whom, why and until when."""
    found = list_mutes(reading(), in_force_only=not every)
    if as_json:
        print_json(found)
    elif not found:
        say("Nothing is muted.")
    else:
        print_table(COLUMNS, map(_cells, found))


def _expiry(days: int | None, until: datetime | None) -> datetime:
    if (days is None) == (until is None):
        raise BadInput("end of the mute", days or until, "either --days or --until")
    if days is not None:
        return datetime.now(UTC) + timedelta(days=days)
    assert until is not None
    return until.replace(tzinfo=UTC) + timedelta(days=1)


def _mute(
    what: uuid.UUID | str, expires_at: datetime, reason: str, metric: str | None, author: str | None
) -> None:
    number = mutes.mute(writing().engine, what, expires_at, remark_of(author, reason), metric)
    typer.echo(f"mute {number} until {expires_at:%Y-%m-%d %H:%M} UTC")


def _cells(line: MuteLine) -> tuple[str, ...]:
    series = f" at batch size {line.batch_size}, series {str(line.series_id)[:SHORT_ID_CHARS]}"
    ended = "" if line.in_force else f"{line.lifted_at or line.expires_at:%Y-%m-%d %H:%M}"
    return (
        str(line.mute_id),
        line.model_glob + (series if line.series_id else ""),
        line.metric or NOTHING,
        f"{line.expires_at:%Y-%m-%d %H:%M}",
        line.author,
        line.reason,
        f"{ended}, {line.lifted_by}" if line.lifted_by else ended,
    )
