"""Reports of NeuronPerf, AWS's retired benchmark library, as its ``write_csv`` and ``write_json`` left them.

========================  ====================================================================================
NeuronPerf                here
========================  ====================================================================================
n_models                  replicas
workers_per_model         workers, times n_models
throughput_avg            throughput_inf_per_s: the mean over whole seconds, without the first and the last
latency_ms_p50 ... p99    p50_ms, p90_ms, p95_ms, p99_ms
latency_ms_p100           max_ms
e2e_avg_ms                mean_ms
total_infs / batch_size   batches, one per replica of which were warm-up
model_filename            filename
instance_type             environment, and the device by its family
device_type               backend: neuron or cpu
pipeline_size,            part of what makes it another sweep
performance_level
========================  ====================================================================================

The date is in the name that NeuronPerf gives its files. The sequence length and the SDK are in no report.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from benchlib.errors import BadInput
from benchlib.imports.foreign import (
    LITTLES_LAW,
    ForeignRow,
    ForeignSweep,
    check_order,
    environment_of,
    littles_law,
    parallelism,
    reading_of,
    sentence_of,
)
from benchlib.imports.published import DEVICES
from benchlib.imports.reading import Reading, Refused, Verdict
from benchlib.imports.tables import csv_rows
from benchlib.results import Check, LatencySummary
from benchlib.spec import MAX_BATCH_SIZE, ModelSpec, SweepSpec

REQUIRED = frozenset(("n_models", "workers_per_model", "batch_size", "throughput_avg", "latency_ms_p50"))
"""Columns or keys that tell such a file from others."""

MISSING = ("N/A", "", None)

_NAME = re.compile(r"(?P<model>.+)\.results-(?P<date>\d{8}-\d{6})")


@dataclass(frozen=True)
class NeuronPerfClaim:
    """What a report does not say and the person who imports it does."""

    sequence_length: int
    measured_at: datetime | None = None
    """``None``: as the file's name says."""
    model: str | None = None
    instance_type: str | None = None
    neuron_sdk: str | None = None
    label: str | None = None


class NeuronPerfReport(BaseModel):
    """The fields of a report that are used, under NeuronPerf's names; ``pN`` in ms, throughput in inf/s."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False, coerce_numbers_to_str=True)

    model_name: str | None = None
    n_models: int = Field(ge=1, le=1024)
    workers_per_model: int = Field(ge=1, le=1024)
    pipeline_size: int = Field(1, ge=1)
    batch_size: int = Field(ge=1, le=MAX_BATCH_SIZE)
    throughput_avg: float = Field(gt=0)
    latency_ms_p50: float = Field(gt=0)
    latency_ms_p90: float | None = Field(None, gt=0)
    latency_ms_p95: float | None = Field(None, gt=0)
    latency_ms_p99: float | None = Field(None, gt=0)
    latency_ms_p100: float | None = Field(None, gt=0)
    e2e_avg_ms: float | None = Field(None, gt=0)
    total_infs: int | None = Field(None, ge=1)
    performance_level: str | None = None
    model_filename: str | None = None
    device_type: Literal["neuron", "cpu"] = "neuron"
    instance_type: str | None = None
    status: str | None = None


def read_neuronperf_csv(lines: Iterable[str], file: Path, claim: NeuronPerfClaim) -> Reading:
    """Read what ``write_csv`` wrote; ``file`` only for its name.

    Raises:
        BadInput: it is no such file, or neither the claim nor the file's name tells when it was measured,
            or the claim is none that a sweep may have.
    """
    return _reading(list(csv_rows(lines, REQUIRED)), file, claim)


def read_neuronperf_json(text: str, file: Path, claim: NeuronPerfClaim) -> Reading:
    """Read what ``write_json`` wrote, a list of reports; ``file`` only for its name.

    Raises:
        BadInput: it is no such list, or nothing tells when it was measured.
    """
    try:
        reports = json.loads(text)
    except ValueError as error:
        raise BadInput("file", file.name, f"JSON ({error})") from error
    if not isinstance(reports, list) or not all(isinstance(report, dict) for report in reports):
        raise BadInput("file", file.name, "a list of reports, as NeuronPerf's write_json leaves it")
    return _reading([(f"report {number}", report) for number, report in enumerate(reports, 1)], file, claim)


def _reading(
    reports: Sequence[tuple[str, Mapping[str, object]]], file: Path, claim: NeuronPerfClaim
) -> Reading:
    source = _Source(file, claim, claim.measured_at or _date_in(file))
    _check(claim)
    rows: list[ForeignRow] = []
    refused: list[Verdict] = []
    for where, report in reports:
        try:
            rows.append(_row(where, report, source))
        except Refused as error:
            what = f"batch size {report.get('batch_size')}: {report.get('throughput_avg')} inf/s"
            refused.append(Verdict(where, what, error.kind, error.reason))
    return reading_of(_as_one_report(rows), refused)


def _as_one_report(rows: Sequence[ForeignRow]) -> list[ForeignRow]:
    """Reports of one day, or without a time in their name, are told apart by their figures."""
    figures = sorted((row.batch_size, row.throughput_inf_per_s, row.latency.p50_ms) for row in rows)
    digest = hashlib.sha256(json.dumps(figures).encode()).hexdigest()[:8]
    return [
        replace(row, sweep=replace(row.sweep, details=(*row.sweep.details, f"report {digest}")))
        for row in rows
    ]


def _check(claim: NeuronPerfClaim) -> None:
    """What is wrong for every row is the option's fault, not the rows'."""
    try:
        model = ModelSpec(name=claim.model or "any", sequence_length=claim.sequence_length)
        SweepSpec(model=model, batch_sizes=(1,), label=claim.label)
    except ValidationError as error:
        raise BadInput.from_validation(error) from error


@dataclass(frozen=True)
class _Source:
    """What all reports of a file share."""

    file: Path
    claim: NeuronPerfClaim
    measured_at: datetime


def _date_in(file: Path) -> datetime:
    name = _NAME.fullmatch(file.stem)
    try:
        assert name
        return datetime.strptime(name["date"], "%Y%m%d-%H%M%S").replace(tzinfo=UTC)
    except (AssertionError, ValueError):
        allowed = "the day it was measured, such as 2024-04-01: the file's name does not say it"
        raise BadInput("--date", None, allowed) from None


def _row(where: str, report: Mapping[str, object], source: _Source) -> ForeignRow:
    known = {name: value for name, value in report.items() if value not in MISSING}
    try:
        read = NeuronPerfReport.model_validate(known)
        if read.status == "error":
            raise Refused("NeuronPerf itself reports an error")
        latency = _latency(read)
        workers, law, warnings = _workers(read)
        return ForeignRow(
            where=where,
            sweep=_sweep(read, source, workers),
            filename=read.model_filename or source.file.name,
            batch_size=read.batch_size,
            throughput_inf_per_s=read.throughput_avg,
            latency=latency,
            published_at=source.measured_at,
            checks=(law,),
            warnings=warnings,
        )
    except ValidationError as error:
        raise sentence_of(error) from error


def _latency(report: NeuronPerfReport) -> LatencySummary:
    latency = LatencySummary(
        samples=max(1, report.total_infs // report.batch_size) if report.total_infs else None,
        mean_ms=report.e2e_avg_ms,
        p50_ms=report.latency_ms_p50,
        p90_ms=report.latency_ms_p90,
        p95_ms=report.latency_ms_p95,
        p99_ms=report.latency_ms_p99,
        max_ms=report.latency_ms_p100,
    )
    check_order(latency)
    return latency


def _workers(report: NeuronPerfReport) -> tuple[int, Check, tuple[str, ...]]:
    """All workers, by Little's law: old reports have their total under ``workers_per_model``."""
    latency_ms = report.e2e_avg_ms or report.latency_ms_p50
    under_way = parallelism(report.throughput_avg, latency_ms, report.batch_size)
    product, total = report.n_models * report.workers_per_model, report.workers_per_model
    law = littles_law(under_way, product)
    if law.passed or total % report.n_models or not littles_law(under_way, total).passed:
        return product, law, ()
    remark = f"workers_per_model is taken as the total of {total}: {LITTLES_LAW} fits no {product} workers"
    return total, littles_law(under_way, total), (remark,)


def _sweep(report: NeuronPerfReport, source: _Source, workers: int) -> ForeignSweep:
    claim = source.claim
    instance_type = claim.instance_type or report.instance_type
    on_cpu = report.device_type == "cpu"
    device = DEVICES.get((instance_type or "").partition(".")[0], "unnamed accelerator")
    level = report.performance_level
    return ForeignSweep(
        source="neuronperf",
        model=claim.model or report.model_name or _model_in(source.file),
        sequence_length=claim.sequence_length,
        backend=report.device_type,
        precision=None,
        environment=environment_of(
            "unnamed CPU" if on_cpu else device,
            instance_type,
            hardware=not on_cpu,
            neuron_sdk=claim.neuron_sdk,
        ),
        measured_at=source.measured_at,
        label=claim.label or (f"SDK {claim.neuron_sdk}" if claim.neuron_sdk else None),
        details=(f"pipeline size {report.pipeline_size}", *([f"performance level {level}"] if level else [])),
        replicas=report.n_models,
        workers=workers,
    )


def _model_in(file: Path) -> str:
    name = _NAME.fullmatch(file.stem)
    return name["model"] if name else file.stem
