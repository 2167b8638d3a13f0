"""`bench report`: the comparison table of a sweep, and the report with its charts."""

from __future__ import annotations

import sys
import uuid
from pathlib import Path
from typing import Annotated, cast

import typer

from benchlib.cli.written import ReportFiles, chosen_format
from benchlib.errors import BenchError
from benchlib.report.files import publish
from benchlib.report.render import Format, render
from benchlib.report.terminal import open_console, print_comparison
from benchlib.settings import Settings
from benchlib.store.database import open_to_read
from benchlib.store.repository import Repository
from benchlib.store.sweep_reading import SweepReading, read_sweep


def report(
    sweep: Annotated[
        str | None, typer.Argument(help="Run id, or the beginning of a sweep id. Default: the latest sweep.")
    ] = None,
    fmt: Annotated[
        Format | None,
        typer.Option(
            "--format",
            help="csv and md hold the table's digits, json holds full precision.",
            show_default="terminal",
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write to this file, not to the screen.")
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option(help="Write all that is known, with charts, to this file; it can be mailed as it is."),
    ] = None,
    png: Annotated[
        Path | None, typer.Option(help="Write throughput and latency as one image to this file.")
    ] = None,
    dark: Annotated[bool, typer.Option("--dark", help="The image in light colours on dark.")] = False,
    markdown: Annotated[bool, typer.Option("--md", help="The same as --format md.")] = False,
    table: Annotated[bool, typer.Option("--csv", help="The same as --format csv.")] = False,
    document: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
) -> None:
    """Print the comparison table of a sweep, with its throughput peak marked, or write its report.

    The file of --html has the table, the charts, every check with its explanation, the environment and what
    changed in it, and the compile times. Charts of a CPU or a stand-in say so inside the plot.
    """
    asked = cast("Format | None", chosen_format(fmt, {"md": markdown, "csv": table, "json": document}))
    files = ReportFiles(html, png, dark, output)
    files.check()
    repository = open_to_read(Settings.from_environment())
    sweep_id = _sweep_id(repository, sweep)
    if files.wanted:
        reading = read_sweep(repository.engine, sweep_id)
        files.write(lambda: _html(reading), lambda: _png(reading, dark))
    if asked or output or not files.wanted:
        _table(repository, sweep_id, asked or "terminal", output)


def _sweep_id(repository: Repository, sweep: str | None) -> uuid.UUID:
    sweep_id = repository.find_sweep(sweep) if sweep is not None else repository.latest_sweep_id()
    if sweep_id is None:
        raise BenchError(
            "no sweep is stored yet: start one with `bench demo`, or read a table with `bench import`"
        )
    return sweep_id


def _table(repository: Repository, sweep_id: uuid.UUID, fmt: Format, output: Path | None) -> None:
    comparison = repository.comparison(sweep_id)
    if output is not None:
        publish(output, render(comparison, fmt))
    elif fmt == "terminal":
        print_comparison(comparison, open_console())
    else:
        sys.stdout.write(render(comparison, fmt))


# Charts take half a second to load, which a table need not wait for.


def _html(reading: SweepReading) -> str:
    from benchlib.report.html import render_sweep

    return render_sweep(reading)


def _png(reading: SweepReading, dark: bool) -> bytes:
    from benchlib.report import charts

    return charts.png(charts.overview(reading, charts.Look("dark" if dark else "light")))
