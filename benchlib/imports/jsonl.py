"""Read back what `bench export --format jsonl` wrote, from this database or another one."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from benchlib.errors import BadInput
from benchlib.imports.foreign import sentence_of
from benchlib.imports.reading import Reading, Refused, Verdict
from benchlib.records import MeasurementRecord, SweepRecord
from benchlib.results import (
    PERCENTILES,
    Environment,
    Failure,
    HarnessOverhead,
    LatencySummary,
    Measurement,
    Round,
    ServerFigures,
)
from benchlib.spec import LoadSpec, ModelSpec, SweepSpec
from benchlib.store.export import ASKED, SCHEMA_VERSION
from benchlib.store.older import UNASKED
from benchlib.store.tables import LIMITS

REQUIRED = frozenset(("schema_version", "sweep_id", "batch_size", "attempt", "status"))
"""Keys that tell such a file from others."""

Row = Mapping[str, Any]


def read_json_lines(lines: Iterable[str]) -> Reading:
    """Read exported rows, one JSON object a line; a line that is damaged is refused, the others are taken.

    Raises:
        BadInput: a newer version of the format.
    """
    records: list[MeasurementRecord] = []
    refused: list[Verdict] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            records.append(_record(_parsed(line)))
        except Refused as error:
            refused.append(Verdict(f"line {number}", line[:60], error.kind, error.reason))
    return Reading(tuple(records), refused=tuple(refused))


def _parsed(line: str) -> Row:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise Refused(f"it is no JSON: {error}", "it is no JSON") from error
    if not isinstance(row, dict) or not row.keys() >= REQUIRED:
        raise Refused("it is no exported row: a column is missing")
    if row["schema_version"] != SCHEMA_VERSION:
        allowed = f"{SCHEMA_VERSION}, as this version of bench exports it"
        raise BadInput("schema_version", row["schema_version"], allowed)
    return {**{f"asked_{name}": value for name, value in UNASKED.items()}, **row}


def _record(row: Row) -> MeasurementRecord:
    try:
        failed = row["status"] == "failed"
        return MeasurementRecord(
            sweep=_sweep(row),
            result=None if failed else _result(row),
            failure=_failure(row) if failed else None,
            **_fields(MeasurementRecord, row, "batch_size", "scenario", "attempt", "recorded_at"),
            samples_url=row.get("samples_url"),  # older files do not say
        )
    except ValidationError as error:
        raise sentence_of(error) from error
    except KeyError as error:
        raise Refused(f"it is no exported row: {error.args[0]} is missing", "a column is missing") from error


def _sweep(row: Row) -> SweepRecord:
    asked = {**row, **{name: row[f"asked_{name}"] for name in ASKED}}
    load = {**asked, **{name: asked[name] or "auto" for name in ("replicas", "workers")}}
    model = {**row, "name": row["model"], "revision": row["model_revision"]}
    spec = {**asked, "model": _fields(ModelSpec, model), "load": _fields(LoadSpec, load)}
    return SweepRecord.model_validate(
        {**_fields(SweepRecord, row, "sweep_id", "dag_id", "run_id", "origin", "created_at"),
         "spec": _fields(SweepSpec, spec)}
    )  # fmt: skip


def _result(row: Row) -> Measurement:
    histogram = {"buckets": row["latency_buckets"], "batches": row["latency_bucket_batches"]}
    limits = {name: _limits(row, name) for name in PERCENTILES}
    nested = {
        "topology": row.get("topology") or "",
        "telemetry": row.get("telemetry") or (),
        "throughput_interval": _limits(row, "throughput_inf_per_s"),
        "latency_intervals": limits if any(limits.values()) else None,
        "overhead": _overhead(row) if row.get("overhead_service_ms") is not None else None,
        "server": _server(row) if row.get("target_batches_per_s") is not None else None,
        "latency": _fields(LatencySummary, row),
        "latency_histogram": histogram if row["latency_buckets"] is not None else None,
        "rounds": [_round(each) for each in row["rounds"]],
        "environment": _fields(Environment, row),
    }
    return Measurement.model_validate(_fields(Measurement, {**row, **nested}))


def _limits(row: Row, figure: str) -> dict[str, Any] | None:
    ends = {end: row.get(name) for end, name in zip(("low", "high"), LIMITS[figure], strict=True)}
    return None if set(ends.values()) == {None} else ends


def _overhead(row: Row) -> dict[str, Any]:
    named = {"cost_per_call_ns": row["overhead_ns_per_call"], "service_ms": row["overhead_service_ms"]}
    return _fields(HarnessOverhead, {**row, **named})


def _server(row: Row) -> dict[str, Any]:
    service = {name: row[f"service_{name}"] for name in LatencySummary.model_fields}
    return _fields(ServerFigures, {**row, "trials": row["server_trials"], "service": service})


def _round(row: Row) -> dict[str, Any]:
    nested = {"index": row["round_index"], "latency": _fields(LatencySummary, row)}
    return _fields(Round, {**row, **nested})


def _failure(row: Row) -> Failure:
    told = {
        "kind": row["failure_kind"],
        "message": row["failure_message"],
        "log_tail": row["failure_log_tail"],
    }
    return Failure.model_validate({"stage": "measure", **told, "log_tail": told["log_tail"] or ()})


def _fields(model: type[BaseModel], row: Row, *names: str) -> dict[str, Any]:
    """What the row has for a model under the model's own names."""
    return {name: row[name] for name in names or model.model_fields if name in row}
