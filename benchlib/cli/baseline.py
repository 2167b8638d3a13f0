"""`bench baseline`: what series are judged against."""

from __future__ import annotations

from typing import Annotated

import typer

from benchlib.cli.judging import (
    STAND_IN,
    AsJson,
    Author,
    Column,
    Limit,
    ModelOption,
    Reason,
    SeriesOption,
    print_json,
    print_table,
    ran_on,
    reading,
    remark_of,
    say,
    say_if_cut,
    writing,
)
from benchlib.report.table import NOTHING, SHORT_ID_CHARS
from benchlib.store import judgements
from benchlib.store.judgement_lists import BaselineLine, Wanted, find_series, list_baselines
from benchlib.store.judgements import SweepRange

app = typer.Typer(
    help="What series are judged against: the detector's choice, unless a person pins a sweep or a range.",
    no_args_is_help=True,
)

COLUMNS = (
    Column("Series"),
    Column("Model"),
    Column("Batch"),
    Column("Ran on"),
    Column("Kind"),
    Column("Nights", dispensable=1),
    Column("Sweeps", dispensable=4),
    Column("Median inf/s"),
    Column("P99 (ms)", dispensable=5),
    Column("Set by", dispensable=2),
    Column("Why", wraps=True, dispensable=3),
)

Several = Annotated[
    list[str] | None, typer.Option("--series", help="Only this one: the beginning of its id; repeatable.")
]


@app.command()
def pin(
    sweep: Annotated[str, typer.Argument(help="Run id, or the beginning of a sweep id.")],
    reason: Reason,
    until: Annotated[
        str | None, typer.Option("--to", help="Last sweep of a range that begins with SWEEP.")
    ] = None,
    series: Several = None,
    author: Author = None,
) -> None:
    """Judge series against a sweep, or a range of sweeps, from now on.

    Without --series: all series that the sweep has a valid measurement of, one per batch size. What they were
    pinned to before stops counting and stays in the database. A pinned baseline comes before the detector's.
    """
    remark, repository = remark_of(author, reason), writing()
    first = repository.find_sweep(sweep)
    last = first if until is None else repository.find_sweep(until)
    chosen = [find_series(repository.engine, each) for each in series or ()]
    pinned = judgements.pin(repository.engine, SweepRange(first, last), chosen, remark)
    typer.echo(f"{len(pinned.set)} series pinned, {len(pinned.unchanged)} were so already")


@app.command()
def unpin(
    reason: Reason,
    sweep: Annotated[
        str | None, typer.Argument(help="Run id, or the beginning of the id of a sweep that is pinned to.")
    ] = None,
    series: Several = None,
    author: Author = None,
) -> None:
    """Stop judging series against what they are pinned to: the detector's own baseline counts again.

    With SWEEP: the series whose range begins or ends with it; with --series: these; with both: these, if so.
    The reason stays as a remark on each series.
    """
    remark, repository = remark_of(author, reason), writing()
    sweep_id = None if sweep is None else repository.find_sweep(sweep)
    chosen = [find_series(repository.engine, each) for each in series or ()]
    withdrawn = judgements.unpin(repository.engine, sweep_id, chosen, remark)
    typer.echo(
        f"{len(withdrawn)} series unpinned" if withdrawn else "nothing is pinned there; nothing written"
    )


@app.command("list")
def list_command(
    pinned: Annotated[bool, typer.Option("--pinned", help="Only what a person pinned.")] = False,
    model: ModelOption = None,
    series: SeriesOption = None,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """List what each series is judged against now, and its level: that of the range's valid measurements."""
    engine = reading()
    wanted = Wanted(find_series(engine, series) if series is not None else None, model, limit)
    found = list_baselines(engine, pinned, wanted)
    if as_json:
        print_json(found)
    elif not found:
        say("No series is pinned." if pinned else "No series has a baseline yet.")
    else:
        print_table(COLUMNS, map(_cells, found))
        if not all(each.hardware for each in found):
            say(STAND_IN)
        say_if_cut(len(found), limit)


def _cells(line: BaselineLine) -> tuple[str, ...]:
    nights = dict.fromkeys((str(line.first_night), str(line.last_night)))
    throughput, p99_ms = line.median_throughput_inf_per_s, line.median_p99_ms
    return (
        str(line.series_id)[:SHORT_ID_CHARS],
        line.model,
        str(line.batch_size),
        ran_on(line.instance_type, line.backend, line.hardware),
        line.baseline_kind,
        " to ".join(nights),
        str(line.sweeps),
        NOTHING if throughput is None else f"{throughput:.1f}",
        NOTHING if p99_ms is None else f"{p99_ms:.3f}",
        line.author,
        line.reason,
    )
