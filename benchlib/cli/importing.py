"""`bench import`: what somebody else measured, or what another database exported."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal, TextIO

import typer
from rich.console import Console
from rich.text import Text

from benchlib.cli.import_options import ASSUMED_SEQUENCE_LENGTH, ASSUMPTION, ImportOptions
from benchlib.cli.outputs import DAY, check_writable
from benchlib.cli.seed_import import import_seed_table
from benchlib.errors import BadInput, BenchError
from benchlib.imports.formats import ImportFormat, detect
from benchlib.imports.jsonl import read_json_lines
from benchlib.imports.neuronperf import NeuronPerfClaim, read_neuronperf_csv, read_neuronperf_json
from benchlib.imports.published import read_published
from benchlib.imports.reading import Reading, counted, headline, render_report
from benchlib.report.table import one_line
from benchlib.report.terminal import open_console
from benchlib.settings import Settings
from benchlib.store.database import open_repository
from benchlib.store.repository import Written

HEAD_BYTES = 64 * 1024
SHOWN_FLAGS = 30


def import_file(
    file: Annotated[
        Path,
        typer.Argument(
            help="A comparison table in Markdown, AWS's published tables as CSV, a NeuronPerf report, "
            "or what `bench export --format jsonl` wrote."
        ),
    ],
    fmt: Annotated[
        Literal["auto", "seed", "published", "neuronperf-csv", "neuronperf-json", "jsonl"],
        typer.Option("--format", help="auto tells by the first line; seed is the Markdown table."),
    ] = "auto",
    model: Annotated[
        str | None,
        typer.Option(help="What was measured. Default: as the file says, else its title or name."),
    ] = None,
    sequence_length: Annotated[
        int | None,
        typer.Option(help=f"Tokens per sequence; {ASSUMED_SEQUENCE_LENGTH} is assumed when it is not given."),
    ] = None,
    backend: Annotated[
        Literal["neuron", "cpu"] | None,
        typer.Option(help="What measured a Markdown table: an accelerator (the default), or a CPU."),
    ] = None,
    instance_type: Annotated[str | None, typer.Option(help="Such as inf2.xlarge.")] = None,
    label: Annotated[str | None, typer.Option(help='Such as "SDK 2.31".')] = None,
    neuron_sdk: Annotated[
        str | None, typer.Option(help="Release of the SDK that a NeuronPerf report was made with.")
    ] = None,
    date: Annotated[
        datetime | None,
        typer.Option(formats=[DAY], help="Day of a NeuronPerf report, UTC. Default: as its name says."),
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="Write every flagged and refused row to this Markdown file.")
    ] = None,
) -> None:
    """Read what others measured, hold its figures against each other, store it, and say what came of it.

    A row whose figures contradict each other is stored as invalid: it is shown, but never a peak and never a
    baseline. A second import changes nothing. Exit code 1: no row of the file can be stored.
    """
    if report is not None:
        check_writable("--report", report)
    options = ImportOptions(
        model=model or None,
        sequence_length=sequence_length,
        backend=backend,
        instance_type=instance_type or None,
        label=label or None,
        neuron_sdk=neuron_sdk or None,
        date=date and date.replace(tzinfo=UTC),
        report=report,
    )
    found = _detected(file) if fmt == "auto" else fmt
    options.check(found)
    if found == "seed":
        import_seed_table(file, options)
    else:
        _import_rows(file, found, options)


def _detected(file: Path) -> ImportFormat:
    try:
        with file.open("rb") as stream:
            return detect(stream.read(HEAD_BYTES).decode(errors="replace"))
    except OSError as error:
        raise BadInput("file", str(file), f"a file that can be read ({error.strerror})") from error


def _import_rows(file: Path, found: ImportFormat, options: ImportOptions) -> None:
    reading = _read(file, found, options)
    repository = open_repository(Settings.from_environment(), start_embedded=True)
    written = repository.record_all(reading.records)
    if options.report is not None:
        options.report.write_text(render_report(reading, file.name, written), encoding="utf-8")
    assumed = found.startswith("neuronperf") and options.sequence_length is None
    _print(reading, written, assumed, open_console())
    if not reading.records:
        raise BenchError(f"no row of {file.name} can be stored")


def _read(file: Path, found: ImportFormat, options: ImportOptions) -> Reading:
    with _text_of(file) as lines:
        if found == "published":
            return read_published(lines)
        if found == "jsonl":
            return read_json_lines(lines)
        if found == "neuronperf-csv":
            return read_neuronperf_csv(lines, file, _neuronperf_claim(options))
        return read_neuronperf_json(lines.read(), file, _neuronperf_claim(options))


@contextmanager
def _text_of(file: Path) -> Iterator[TextIO]:
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            yield lines
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error.reason
        raise BadInput("file", str(file), f"a text file in UTF-8 ({reason})") from error


def _neuronperf_claim(options: ImportOptions) -> NeuronPerfClaim:
    return NeuronPerfClaim(
        sequence_length=options.sequence_length_or_assumed,
        measured_at=options.date,
        model=options.model,
        instance_type=options.instance_type,
        neuron_sdk=options.neuron_sdk,
        label=options.label,
    )


def _print(reading: Reading, written: Written, assumed: bool, console: Console) -> None:
    lines = [ASSUMPTION] if assumed else []
    lines.append(headline(reading, written))
    lines += [f"Flagged: {line}" for line in counted(reading.flagged)]
    lines += [f"Refused: {line}" for line in counted(reading.refused)]
    lines += [f"{each.where}: {each.what}. {each.reason}" for each in reading.flagged[:SHOWN_FLAGS]]
    if len(reading.flagged) > SHOWN_FLAGS:
        lines.append(f"And {len(reading.flagged) - SHOWN_FLAGS} more: --report FILE lists every row.")
    for line in lines:
        console.print(Text(one_line(line)))
