"""`bench import`: a comparison table that somebody else measured."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.text import Text

from benchlib.errors import BadInput
from benchlib.report.imported import Claim, ImportedSweep, records_of
from benchlib.report.seed_table import SeedTable, read_seed_table
from benchlib.report.table import one_line
from benchlib.report.terminal import open_console, print_comparison
from benchlib.settings import Settings
from benchlib.store.database import open_repository
from benchlib.store.repository import Repository

MAX_FILE_BYTES = 2**20
"""A table of every batch size from 1 to 1024 takes a seventh of it."""

ASSUMED_SEQUENCE_LENGTH = 128


def import_table(
    file: Annotated[
        Path, typer.Argument(help="Markdown file with one table in the form of `bench report --format md`.")
    ],
    model: Annotated[
        str | None,
        typer.Option(help="What was measured. Default: the document's title, else the file's name."),
    ] = None,
    sequence_length: Annotated[
        int | None,
        typer.Option(help=f"Tokens per sequence; {ASSUMED_SEQUENCE_LENGTH} is assumed when it is not given."),
    ] = None,
    backend: Annotated[
        Literal["neuron", "cpu"], typer.Option(help="What measured it: an accelerator, or a CPU.")
    ] = "neuron",
    instance_type: Annotated[str | None, typer.Option(help="Such as inf2.xlarge.")] = None,
    label: Annotated[str | None, typer.Option(help='Such as "SDK 2.31".')] = None,
) -> None:
    """Read a comparison table, check that its figures agree with each other, store and print it.

    Little's law tells the unit of its latencies, whatever the header says. A second import changes nothing.
    """
    table = read_seed_table(_text_of(file))
    claim = Claim(
        model=model or table.title or file.stem,
        sequence_length=ASSUMED_SEQUENCE_LENGTH if sequence_length is None else sequence_length,
        backend=backend,
        instance_type=instance_type or None,
        label=label or None,
    )
    imported = records_of(table, claim, datetime.now(UTC))
    repository = open_repository(Settings.from_environment(), start_embedded=True)
    is_new = _store(imported, repository)
    console = open_console()
    for remark in _remarks(table, sequence_length, is_new):
        console.print(Text(one_line(remark)))
    console.print()
    print_comparison(repository.comparison(imported.sweep.sweep_id), console)


def _text_of(file: Path) -> str:
    allowed = f"a Markdown file in UTF-8 of at most {MAX_FILE_BYTES} bytes"
    try:
        with file.open("rb") as stream:
            content = stream.read(MAX_FILE_BYTES + 1)
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise BadInput("file", str(file), f"{allowed} ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise BadInput("file", str(file), allowed) from error
    if len(content) > MAX_FILE_BYTES:
        raise BadInput("file", str(file), allowed)
    return text


def _store(imported: ImportedSweep, repository: Repository) -> bool:
    """Store what is not stored yet; True when anything was."""
    repository.record(imported.sweep)
    rows = repository.comparison(imported.sweep.sweep_id).rows
    stored = {row.batch_size for row in rows if row.status == "ok"}
    new = [record for record in imported.measurements if record.batch_size not in stored]
    for record in new:
        repository.record(record)
    return bool(new)


def _remarks(table: SeedTable, sequence_length: int | None, is_new: bool) -> list[str]:
    remarks = [table.latency_unit.sentence]
    if sequence_length is None:
        remarks.append(
            f"The table does not say the sequence length: {ASSUMED_SEQUENCE_LENGTH} tokens are assumed."
        )
    if table.ignored_columns:
        remarks.append(f"Not imported: the columns {', '.join(table.ignored_columns)}.")
    if not is_new:
        remarks.append("This table had been imported before; nothing was changed.")
    return remarks
