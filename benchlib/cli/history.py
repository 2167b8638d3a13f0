"""`bench history`: one series from night to night."""

from __future__ import annotations

import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal, cast

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchlib.cli.outputs import DAY
from benchlib.cli.written import ReportFiles, chosen_format
from benchlib.errors import BadInput, BenchError
from benchlib.report.grid import Grid
from benchlib.report.history_table import (
    history_grid,
    render_history_csv,
    render_history_json,
    sparkline,
    summary_of,
)
from benchlib.report.history_words import METRIC_NAMES, series_facts
from benchlib.report.table import SHORT_ID_CHARS, one_line, shorten
from benchlib.report.terminal import open_console
from benchlib.settings import Settings
from benchlib.store.database import open_to_read
from benchlib.store.history import (
    History,
    Metric,
    Series,
    SeriesWanted,
    find_histories,
    latest_peak,
    read_history,
)
from benchlib.store.repository import Repository

Name = Literal["throughput", "p50", "p90", "p95", "p99", "p99.9"]
HistoryFormat = Literal["terminal", "csv", "json"]

METRIC_OF: dict[Name, Metric] = {
    "throughput": "throughput_inf_per_s",
    "p50": "p50_ms",
    "p90": "p90_ms",
    "p95": "p95_ms",
    "p99": "p99_ms",
    "p99.9": "p99_9_ms",
}

STYLES = {"doubtful": "dim", "bad": "red", "new": "bold yellow"}

NAMED_AT_MOST = 8
"""Series that a refusal names."""


def history(
    series: Annotated[str | None, typer.Option(help="Beginning of a series' id.")] = None,
    model: Annotated[str | None, typer.Option(help="Only this model, by its full name.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Only this batch size.")] = None,
    instance_type: Annotated[str | None, typer.Option(help="Only this one, such as inf2.xlarge.")] = None,
    metric: Annotated[Name, typer.Option(help="What is shown over time.")] = "throughput",
    nights: Annotated[int, typer.Option(help="How many nights back from the last one.")] = 30,
    since: Annotated[
        datetime | None, typer.Option("--from", formats=[DAY], help="First night, UTC, instead of --nights.")
    ] = None,
    until: Annotated[
        datetime | None,
        typer.Option("--to", formats=[DAY], help="Last night, UTC. Default: today."),
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Write charts and table to this file.")] = None,
    png: Annotated[Path | None, typer.Option(help="Write the chart as an image to this file.")] = None,
    dark: Annotated[bool, typer.Option("--dark", help="The image in light colours on dark.")] = False,
    table: Annotated[bool, typer.Option("--csv", help="One row per night, in full precision.")] = False,
    document: Annotated[bool, typer.Option("--json", help="One document, in full precision.")] = False,
) -> None:
    """Show one series over time: each night's figure, SDK, changes, and which nights have none.

    Default: the peak batch size of the latest sweep that fits. Give --batch-size for another one.
    """
    if nights < 1:
        raise BadInput("--nights", nights, "a whole number of at least 1")
    fmt = cast("HistoryFormat", chosen_format(None, {"csv": table, "json": document}) or "terminal")
    files = ReportFiles(html, png, dark)
    files.check()
    repository = open_to_read(Settings.from_environment())
    chosen = _choose(repository, SeriesWanted(series, model, batch_size, instance_type))
    first, last = _range(chosen, nights, since and since.date(), until and until.date())
    found = read_history(repository.engine, chosen.series_id, first, last)
    wanted = METRIC_OF[metric]
    if files.wanted:
        files.write(lambda: _html(found, wanted), lambda: _png(found, wanted, dark))
    if fmt != "terminal" or not files.wanted:
        _show(found, wanted, fmt)


def _choose(repository: Repository, wanted: SeriesWanted) -> Series:
    """The only series that fits; where no batch size is named, the peak of the latest sweep."""
    if wanted.batch_size is None and wanted.series is None:
        peak = latest_peak(repository.engine, wanted)
        if peak is not None:
            wanted = SeriesWanted(series=str(peak))
    found = find_histories(repository.engine, wanted)
    if not found:
        raise BenchError("no series fits: leave an option out, or see what there is with `bench percentiles`")
    if len(found) > 1:
        named = ", ".join(_name(each) for each in found[:NAMED_AT_MOST])
        more = "" if len(found) <= NAMED_AT_MOST else f" and {len(found) - NAMED_AT_MOST} more"
        raise BadInput(
            "--series", wanted.series or "(not given)", f"the beginning of one id of {named}{more}"
        )
    return found[0]


def _name(series: Series) -> str:
    where = series.instance_type or series.backend
    load = f"{series.scenario} on {where}, {series.workers} x {series.worker_mode}"
    name = shorten(series.model, 40)
    return f"{str(series.series_id)[:SHORT_ID_CHARS]} ({name}, batch size {series.batch_size}, {load})"


def _range(series: Series, nights: int, since: date | None, until: date | None) -> tuple[date, date]:
    """Up to today, so that missing nights show; up to the last night of a series that ended before."""
    if until is None:
        today = datetime.now(UTC).date()
        ended = since is None and today - series.last_night >= timedelta(days=nights)
        until = series.last_night if ended else today
    if since is None:
        since = max(until - timedelta(days=nights - 1), series.first_night)
    if since > until:
        raise BadInput("--from", str(since), f"a night not after the last one, {until}")
    return since, until


def _show(found: History, metric: Metric, fmt: HistoryFormat) -> None:
    if fmt == "terminal":
        _print(found, metric, open_console())
    elif fmt == "csv":
        sys.stdout.write(render_history_csv(found, metric))
    else:
        sys.stdout.write(render_history_json(found, metric))


def _print(found: History, metric: Metric, console: Console) -> None:
    name = shorten(found.series.model, 80)
    facts = ", ".join(one_line(fact) for fact in series_facts(found.series))
    console.print(Text(f"{METRIC_NAMES[metric]} of {name} at batch size {found.series.batch_size}: {facts}"))
    if console.is_terminal:
        console.print(Text(sparkline(found, metric, console.width), "cyan"))
    console.print()
    console.print(_table(history_grid(found, metric)))
    console.print()
    console.print(Text(one_line(summary_of(found, metric)), "bold"))


def _table(grid: Grid) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 2, 0, 0))
    for place, header in enumerate(grid.headers):
        is_last = place == len(grid.headers) - 1
        justify: Literal["left", "right"] = "right" if place in grid.numeric else "left"
        table.add_column(Text(header), justify=justify, no_wrap=not is_last, overflow="fold")
    for tone, cells in grid.rows:
        table.add_row(*(Text(cell) for cell in cells), style=STYLES.get(tone, ""))
    return table


# Charts take half a second to load, which a table need not wait for.


def _html(found: History, metric: Metric) -> str:
    from benchlib.report.html import render_history

    return render_history(found, metric)


def _png(found: History, metric: Metric, dark: bool) -> bytes:
    from benchlib.report import charts

    look = charts.Look("dark" if dark else "light", width_px=900)
    return charts.png(charts.history_over_time(found, metric, look))
