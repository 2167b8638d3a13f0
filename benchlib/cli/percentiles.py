"""`bench percentiles`: latency over weeks and months, from the histograms of single nights."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import typer
from rich import box
from rich.table import Table
from rich.text import Text

from benchlib.cli.outputs import DAY
from benchlib.errors import BadInput, BenchError
from benchlib.report.table import NOTHING, SHORT_ID_CHARS, one_line
from benchlib.report.terminal import open_console
from benchlib.settings import Settings
from benchlib.store.database import open_to_read
from benchlib.store.percentiles import SeriesPercentiles, Span, latency_percentiles

HEADERS = ("Series", "Model", "Tokens", "Batch", "Workers", "Ran on", "Nights", "Measured", "Batches")
TEXT_COLUMNS = frozenset(("Series", "Model", "Ran on", "Nights"))


def percentiles(
    percent: Annotated[
        list[float] | None,
        typer.Option(help="Which percentile, 0 to 100; may be given several times. Default: 50, 99, 99.9."),
    ] = None,
    series: Annotated[str | None, typer.Option(help="Beginning of a series' id.")] = None,
    model: Annotated[str | None, typer.Option(help="Only this model, by its full name.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Only this batch size.")] = None,
    instance_type: Annotated[str | None, typer.Option(help="Only this one, such as inf2.xlarge.")] = None,
    since: Annotated[datetime | None, typer.Option("--from", formats=[DAY], help="First night, UTC.")] = None,
    until: Annotated[
        datetime | None, typer.Option("--to", formats=[DAY], help="Last night, UTC, included.")
    ] = None,
) -> None:
    """Print percentiles of latency over all nights of a span, one line per series, within 1 %.

    Every batch of every valid measurement counts once. A percentile that too few batches support is left out.
    Imported tables and measurements of old versions have no histogram and do not take part.
    """
    percents = percent or [50.0, 99.0, 99.9]
    for each in percents:
        if not 0 <= each < 100:
            raise BadInput("--percent", each, "at least 0 and below 100, such as 99.9")
    span = Span(series, model, batch_size, instance_type, since and since.date(), until and until.date())
    repository = open_to_read(Settings.from_environment())
    found = latency_percentiles(repository.engine, span, percents)
    if not found:
        raise BenchError("no valid measurement with a histogram fits: leave an option out, or measure first")
    console = open_console()
    console.print(_table(found, percents))
    if not all(line.hardware for line in found):
        console.print(Text("Lines marked * were measured on a CPU or a stand-in: not inf2 results."))


def _table(found: Sequence[SeriesPercentiles], percents: Sequence[float]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    for header in (*HEADERS, *(f"P{percent:g} (ms)" for percent in percents)):
        is_text = header in TEXT_COLUMNS
        table.add_column(Text(header), justify="left" if is_text else "right", no_wrap=True)
    for line in found:
        table.add_row(*(Text(one_line(cell)) for cell in _cells(line)))
    return table


def _cells(line: SeriesPercentiles) -> list[str]:
    mark = "" if line.hardware else " *"
    known = (NOTHING if ms is None else f"{ms:.3f}" for ms in line.percentiles_ms)
    return [
        str(line.series_id)[:SHORT_ID_CHARS],
        line.model,
        str(line.sequence_length),
        str(line.batch_size),
        NOTHING if line.workers is None else str(line.workers),
        f"{line.instance_type or line.backend}{mark}",
        f"{line.first_night} to {line.last_night}",
        str(line.measurements),
        str(line.batches),
        *known,
    ]
