"""`bench report`: the comparison table of a sweep."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from benchlib.cli.outputs import check_writable
from benchlib.errors import BenchError
from benchlib.report.render import Format, render
from benchlib.report.terminal import open_console, print_comparison
from benchlib.settings import Settings
from benchlib.store.database import open_to_read


def report(
    sweep: Annotated[
        str | None, typer.Argument(help="Run id, or the beginning of a sweep id. Default: the latest sweep.")
    ] = None,
    fmt: Annotated[
        Format,
        typer.Option("--format", help="csv and md hold the table's digits, json holds full precision."),
    ] = "terminal",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write to this file, not to the screen.")
    ] = None,
) -> None:
    """Print the comparison table of a sweep, with its throughput peak marked."""
    if output is not None:
        check_writable("--output", output)
    repository = open_to_read(Settings.from_environment())
    sweep_id = repository.find_sweep(sweep) if sweep is not None else repository.latest_sweep_id()
    if sweep_id is None:
        raise BenchError(
            "no sweep is stored yet: start one with `bench demo`, or read a table with `bench import`"
        )
    comparison = repository.comparison(sweep_id)
    if output is not None:
        output.write_text(render(comparison, fmt), encoding="utf-8")
    elif fmt == "terminal":
        print_comparison(comparison, open_console())
    else:
        sys.stdout.write(render(comparison, fmt))
