"""`bench export`: the stored measurements as a file for other programs."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from benchlib.cli.outputs import DAY, check_writable
from benchlib.exports.files import ExportFormat, export
from benchlib.settings import Settings
from benchlib.store.database import open_repository
from benchlib.store.export import Selection


def export_measurements(
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write.")],
    fmt: Annotated[
        ExportFormat,
        typer.Option(
            "--format", help="jsonl can be imported again; parquet is for DuckDB, pandas and Spark."
        ),
    ] = "jsonl",
    model: Annotated[str | None, typer.Option(help="Only this model, by its full name.")] = None,
    instance_type: Annotated[str | None, typer.Option(help="Only this one, such as inf2.xlarge.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Only this batch size.")] = None,
    since: Annotated[
        datetime | None, typer.Option(formats=[DAY], help="First day of the sweeps, UTC.")
    ] = None,
    until: Annotated[
        datetime | None, typer.Option(formats=[DAY], help="Last day of the sweeps, UTC, included.")
    ] = None,
) -> None:
    """Write measurements with their sweep, environment, rounds and histogram, one row each.

    Failed and invalid ones are there too: filter by the column status. docs/import-export.md explains every
    column with its unit.
    """
    check_writable("--output", output)
    selection = Selection(model, instance_type, batch_size, since and since.date(), until and until.date())
    repository = open_repository(Settings.from_environment(), start_embedded=True)
    count = export(repository.engine, selection, fmt, output)
    typer.echo(f"{count} measurements written to {output} ({output.stat().st_size:,} bytes)")
