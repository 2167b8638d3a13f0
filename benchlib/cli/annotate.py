"""`bench annotate`: remarks on sweeps, series, changes and nights."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import typer
from sqlalchemy import Engine

from benchlib.cli.judging import (
    AsJson,
    Author,
    Column,
    Limit,
    ModelOption,
    print_json,
    print_table,
    reading,
    remark_of,
    say,
    writing,
)
from benchlib.cli.outputs import DAY
from benchlib.report.table import SHORT_ID_CHARS
from benchlib.store import judgements
from benchlib.store.judgement_lists import AnnotationLine, find_series, list_annotations
from benchlib.store.judgements import Remark, Subject, sweeps_between

app = typer.Typer(
    help="Remarks on results: whoever looks at a sweep, a series or a change later reads what you knew.",
    no_args_is_help=True,
)

COLUMNS = (
    Column("When"),
    Column("Who"),
    Column("About"),
    Column("Night", dispensable=1),
    Column("Status"),
    Column("What", wraps=True),
)

Note = Annotated[str, typer.Argument(help="What there is to say, in quotes.")]


@app.command()
def sweep(
    sweep: Annotated[str, typer.Argument(help="Run id, or the beginning of a sweep id.")],
    note: Note,
    author: Author = None,
) -> None:
    """Remark on one sweep, such as what was tried in it."""
    remark, repository = remark_of(author, note), writing()
    _annotate(repository.engine, [Subject(sweep_id=repository.find_sweep(sweep))], remark)


@app.command()
def series(
    series: Annotated[str, typer.Argument(help="The beginning of its id.")],
    note: Note,
    author: Author = None,
) -> None:
    """Remark on one series, the history of one batch size of one model on one kind of machine."""
    remark, engine = remark_of(author, note), writing().engine
    _annotate(engine, [Subject(series_id=find_series(engine, series))], remark)


@app.command()
def change(
    change: Annotated[int, typer.Argument(help="Its number, as `bench changes` shows it.")],
    note: Note,
    author: Author = None,
) -> None:
    """Remark on one change without saying where it stands: `bench change` does that."""
    remark = remark_of(author, note)
    _annotate(writing().engine, [Subject(incident_id=change)], remark)


@app.command()
def nights(
    first: Annotated[datetime, typer.Argument(formats=[DAY], help="First night, UTC.")],
    note: Note,
    last: Annotated[
        datetime | None,
        typer.Option("--to", formats=[DAY], help="Last night, UTC, included. Default: the first."),
    ] = None,
    model: ModelOption = None,
    author: Author = None,
) -> None:
    """Remark on every sweep of a night, or of a range of nights, such as a loud neighbour in the rack."""
    remark, engine = remark_of(author, note), writing().engine
    _annotate(engine, sweeps_between(engine, first.date(), (last or first).date(), model), remark)


@app.command("list")
def list_command(
    sweep: Annotated[
        str | None, typer.Option("--sweep", help="Only on this one: run id, or beginning of its id.")
    ] = None,
    series: Annotated[
        str | None, typer.Option("--series", help="Only on this one and its changes: beginning of its id.")
    ] = None,
    change: Annotated[int | None, typer.Option("--change", help="Only on this one, by its number.")] = None,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """List what was said, latest first: remarks, and where changes were said to stand."""
    engine = reading()
    about = Subject(
        incident_id=change,
        series_id=None if series is None else find_series(engine, series),
        sweep_id=None if sweep is None else writing().find_sweep(sweep),
    )
    found = list_annotations(engine, about, limit)
    if as_json:
        print_json(found)
    elif not found:
        say("Nothing was said.")
    else:
        print_table(COLUMNS, map(_cells, found))
        if len(found) == limit:
            say(
                f"No more than {limit} lines are shown: --limit, --sweep, --series or --change choose others."
            )


def _annotate(engine: Engine, subjects: Sequence[Subject], remark: Remark) -> None:
    new = judgements.annotate(engine, subjects, remark)
    there = len(subjects) - new
    typer.echo(f"{new} noted" + (f", {there} had it already" if there else ""))


def _cells(line: AnnotationLine) -> tuple[str, ...]:
    return (
        f"{line.annotated_at:%Y-%m-%d %H:%M}",
        line.author,
        _about(line),
        "" if line.night is None else str(line.night),
        (line.status or "").replace("_", " "),
        line.reason,
    )


def _about(line: AnnotationLine) -> str:
    if line.incident_id is not None:
        return f"change {line.incident_id}"
    name, key = ("series", line.series_id) if line.series_id is not None else ("sweep", line.sweep_id)
    return f"{name} {str(key)[:SHORT_ID_CHARS]}"
