"""AWS's published Neuron benchmark tables, collected over the releases into one CSV file.

Only text encoders in inferences/s can be stored: a measurement has a sequence length and replicas. What is
known of the load is what AWS's published script does: on inf2 and trn1 two models with one worker each.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from benchlib.imports.foreign import (
    ForeignRow,
    ForeignSweep,
    check_order,
    environment_of,
    littles_law,
    parallelism,
    reading_of,
    sentence_of,
)
from benchlib.imports.reading import Reading, Refused, Verdict
from benchlib.imports.tables import csv_rows
from benchlib.results import Check, LatencySummary
from benchlib.spec import MAX_BATCH_SIZE

REQUIRED = frozenset(
    (
        "model",
        "instance_type",
        "batch_size",
        "neuron_version",
        "throughput",
        "throughput_unit",
        "latency_p50_ms",
    )
)
"""Columns that tell such a file from others."""

UNIT = "inferences/s"
DEVICES = {"inf1": "Inferentia", "inf2": "Inferentia2", "trn1": "Trainium", "trn1n": "Trainium"}

SCRIPT_WORKERS = 2
SCRIPT_FAMILIES = frozenset(("inf2", "trn1", "trn1n"))
SCRIPT_RUN_MODE = "Data Parallel"

_VERSION = re.compile(r"(?P<number>\d+\.\d+(?:\.\d+)*)(?P<rest>.*)")
_FOOTNOTE = re.compile(r"[\s*]+$")
_HUB_ID = re.compile(r"\((?P<id>[\w./-]+)\)$")
_LENGTH = re.compile(r"sequence-length=(?P<tokens>\d+)")
_TORCH = re.compile(r"PyTorch (?P<version>\d[\w.+]*)")


Figure = Annotated[float | None, Field(gt=0)]


class PublishedRow(BaseModel):
    """The cells of a row that are used; units as the columns are headed."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False, str_strip_whitespace=True)

    table_kind: str = ""
    source_csv: str = ""
    model: str
    task: str = ""
    image_size: str = ""
    instance_type: str
    run_mode: str = ""
    batch_size: int = Field(ge=1, le=MAX_BATCH_SIZE)
    sequence_length: int | None = None
    model_dtype: str = ""
    autocast: str = ""
    framework: str = ""
    neuron_version: str
    sdk_tag_date: date | None = None
    first_seen_date: date | None = None
    throughput: float = Field(gt=0)
    throughput_unit: str
    latency_p50_ms: Figure = None
    latency_p90_ms: Figure = None
    latency_p95_ms: Figure = None
    latency_p99_ms: Figure = None
    quality_flag: str = ""


def read_published(lines: Iterable[str]) -> Reading:
    """Read the CSV file's lines; every row is taken, flagged or refused, none is passed over.

    Raises:
        BadInput: it is no such file.
    """
    rows: list[ForeignRow] = []
    refused: list[Verdict] = []
    for where, cells in csv_rows(lines, REQUIRED):
        try:
            rows.append(_row(where, cells))
        except Refused as error:
            refused.append(Verdict(where, _what(cells), error.kind, error.reason))
    return reading_of(rows, refused)


def _what(cells: Mapping[str, str]) -> str:
    words = (cells.get(name) for name in ("table_kind", "model", "instance_type", "neuron_version"))
    rate = f"{cells.get('throughput')} {cells.get('throughput_unit')}"
    return f"{', '.join(word for word in words if word)}, batch size {cells.get('batch_size')}: {rate}"


def _row(where: str, cells: Mapping[str, str]) -> ForeignRow:
    unit, version_cell = cells.get("throughput_unit", ""), cells.get("neuron_version", "")
    if unit != UNIT:
        raise Refused(f"throughput unit {unit or 'missing'}: a measurement is in {UNIT}")
    version = _VERSION.fullmatch(version_cell)
    if not version:
        shifted = "the columns are shifted"
        raise Refused(f"{shifted}: neuron_version reads {version_cell!r}", shifted)
    try:
        row = PublishedRow.model_validate(cells)
        latency = _latency(row)
        return ForeignRow(
            where=where,
            sweep=_sweep(row, version["number"]),
            filename=row.source_csv or "published",
            batch_size=row.batch_size,
            throughput_inf_per_s=row.throughput,
            latency=latency,
            published_at=_midnight(row.first_seen_date or row.sdk_tag_date),
            checks=tuple(_checks(row, version["rest"])),
        )
    except ValidationError as error:
        raise sentence_of(error) from error


def _latency(row: PublishedRow) -> LatencySummary:
    if row.latency_p50_ms is None:
        raise Refused("no P50: Little's law cannot be tried")
    latency = LatencySummary(
        samples=None,
        p50_ms=row.latency_p50_ms,
        p90_ms=row.latency_p90_ms,
        p95_ms=row.latency_p95_ms,
        p99_ms=row.latency_p99_ms,
    )
    check_order(latency)
    return latency


def _sweep(row: PublishedRow, version: str) -> ForeignSweep:
    sdk = version if version.count(".") > 1 else f"{version}.0"
    torch = _TORCH.fullmatch(row.framework)
    details = (row.task, row.run_mode, row.model_dtype, row.autocast, row.framework)
    workers = _known_workers(row)
    return ForeignSweep(
        source=f"published {row.table_kind}".strip(),
        model=_model(row),
        sequence_length=_sequence_length(row),
        backend="neuron",
        precision=_precision(row),
        environment=environment_of(
            DEVICES.get(_family(row), "unnamed accelerator"),
            row.instance_type,
            hardware=True,
            neuron_sdk=sdk,
            torch=torch["version"] if torch else None,
        ),
        measured_at=_midnight(row.sdk_tag_date or row.first_seen_date),
        label=f"SDK {sdk}",
        details=tuple(detail for detail in details if detail),
        replicas=workers,
        workers=workers,
    )


def _sequence_length(row: PublishedRow) -> int:
    """From its column, or from the words in which older tables say it."""
    if row.run_mode not in ("", SCRIPT_RUN_MODE, "Model Pipeline"):
        raise Refused(f"run mode {row.run_mode}: not a model that fits one core or pipeline")
    if row.sequence_length is not None:
        return row.sequence_length
    worded = _LENGTH.search(row.model_dtype)
    if worded:
        return int(worded["tokens"])
    if row.image_size or row.task.startswith(("Image", "Multimodal")):
        raise Refused(f"no text model: {row.task or f'images of {row.image_size}'}", "no text model")
    raise Refused("no sequence length: fill the cell in if you know it")


def _model(row: PublishedRow) -> str:
    """The hub id, wherever the row has it."""
    named = _HUB_ID.search(row.model)
    parts = [part.strip() for part in row.model_dtype.split(",")]
    if len(parts) == 3 and _LENGTH.fullmatch(parts[2]):
        return parts[1]
    return named["id"] if named else _FOOTNOTE.sub("", row.model)


def _precision(row: PublishedRow) -> Literal["fp32", "bf16"] | None:
    """``None`` where the cells leave open what the compiler made of it."""
    match row.model_dtype.upper(), row.autocast.upper():
        case ("FP32", "MATMULT-BF16") | ("BF16", _):
            return "bf16"
        case ("FP32", "NONE"):
            return "fp32"
    return None


def _family(row: PublishedRow) -> str:
    return row.instance_type.partition(".")[0]


def _known_workers(row: PublishedRow) -> int | None:
    by_script = _family(row) in SCRIPT_FAMILIES and row.run_mode in ("", SCRIPT_RUN_MODE)
    return SCRIPT_WORKERS if by_script else None


def _checks(row: PublishedRow, version_rest: str) -> Iterable[Check]:
    assert row.latency_p50_ms is not None
    under_way = parallelism(row.throughput, row.latency_p50_ms, row.batch_size)
    law = littles_law(under_way, _known_workers(row))
    yield law
    if version_rest:
        advice = f"The version cell reads {row.neuron_version!r}: the table made an exception for this row."
        yield Check(name="version_cell", passed=False, advice=advice)
    if row.quality_flag and law.passed and not version_rest and "several_values" not in row.quality_flag:
        yield Check(name="source_flag", passed=False, advice=f"The file flags it: {row.quality_flag}.")


def _midnight(day: date | None) -> datetime:
    if day is None:
        raise Refused("no date: neither sdk_tag_date nor first_seen_date")
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
