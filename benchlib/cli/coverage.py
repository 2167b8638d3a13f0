"""`bench coverage`: which nights have no data, and why."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer
from rich import box
from rich.table import Table
from rich.text import Text

from benchlib.cli.outputs import DAY
from benchlib.errors import EXIT_FAILED, BadInput
from benchlib.report.table import NOTE_CHARS, shorten
from benchlib.report.terminal import open_console
from benchlib.settings import Settings
from benchlib.store.coverage import Coverage, CoverageSpan, coverage
from benchlib.store.database import open_to_read

_STATES = {"none": "no sweep", "failed": "failed", "invalid": "not valid"}


def coverage_command(
    nights: Annotated[int, typer.Option(help="How many nights back from today, UTC.")] = 14,
    until: Annotated[
        datetime | None, typer.Option("--to", formats=[DAY], help="Last night instead of today, UTC.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Only this model, by its full name.")] = None,
    fail: Annotated[bool, typer.Option("--fail", help="Exit with 1 when a night lacks anything.")] = False,
) -> None:
    """Say which nights lack valid figures of what was measured before, and why.

    A nightly run that silently stopped is the commonest failure of all: with --fail this is a check for cron.
    A batch size that has not been measured for two weeks counts as given up.
    """
    if nights < 1:
        raise BadInput("--nights", nights, "a whole number of at least 1")
    last = until.date() if until else datetime.now(UTC).date()
    repository = open_to_read(Settings.from_environment())
    found = coverage(repository.engine, CoverageSpan.last(nights, last, model))
    console = open_console()
    if found.gaps:
        console.print(_table(found))
    console.print(Text(_summary(found)))
    if fail and found.gaps:
        raise typer.Exit(EXIT_FAILED)


def _summary(found: Coverage) -> str:
    if not found.nights:
        return "Nothing was expected on these nights: nothing had been measured before."
    lacking = len({gap.night for gap in found.gaps})
    if not lacking:
        return f"All {found.nights} nights have every figure that was expected."
    return f"{lacking} of {found.nights} nights lack figures."


def _table(found: Coverage) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    for header in ("Night", "Model", "Ran on", "Batch sizes", "State"):
        table.add_column(header, no_wrap=True)
    table.add_column("Reason")
    for gap in found.gaps:
        cells = (
            str(gap.night),
            gap.model,
            gap.ran_on,
            ", ".join(map(str, gap.batch_sizes)),
            _STATES[gap.state],
            "" if gap.state == "none" else shorten(gap.reason, NOTE_CHARS),
        )
        table.add_row(*(Text(cell) for cell in cells))
    return table
