"""`bench import` of one comparison table in Markdown: taken wholly or not at all."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from rich.text import Text

from benchlib.cli.import_options import ASSUMPTION, ImportOptions
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


def import_seed_table(file: Path, options: ImportOptions) -> None:
    """Read the table, check that its figures agree with each other, store it and print it.

    Raises:
        BadInput: it is no such table, its figures contradict each other, or an option is impossible.
    """
    table = read_seed_table(_text_of(file))
    claim = Claim(
        model=options.model or table.title or file.stem,
        sequence_length=options.sequence_length_or_assumed,
        backend=options.backend or "neuron",
        instance_type=options.instance_type,
        label=options.label,
    )
    imported = records_of(table, claim, datetime.now(UTC))
    repository = open_repository(Settings.from_environment(), start_embedded=True)
    is_new = _store(imported, repository)
    console = open_console()
    for remark in _remarks(table, options.sequence_length, is_new):
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
        remarks.append(ASSUMPTION)
    if table.ignored_columns:
        remarks.append(f"Not imported: the columns {', '.join(table.ignored_columns)}.")
    if not is_new:
        remarks.append("This table had been imported before; nothing was changed.")
    return remarks
