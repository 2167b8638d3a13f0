"""From a record to the values of its row."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime
from typing import Any

from benchlib.records import CompilationRecord, MeasurementRecord, SweepRecord
from benchlib.results import (
    PERCENTILES,
    CompileResult,
    Environment,
    Failure,
    HarnessOverhead,
    LatencyIntervals,
    Measurement,
    Round,
    ServerFigures,
)
from benchlib.store.tables import LIMITS

Values = dict[str, Any]
"""Column name to value; never leaves `benchlib.store`."""

ENVIRONMENT_NAMESPACE = uuid.UUID("5d0f2b0e-0c0b-5c57-9a2f-3c7d1e6b8a44")


def environment_id_of(environment: Environment) -> uuid.UUID:
    """The same for equal environments, also after a field is added that older ones lack."""
    known = environment.model_dump(exclude_none=True)
    return uuid.uuid5(ENVIRONMENT_NAMESPACE, json.dumps(known, sort_keys=True))


def environment_values(environment: Environment) -> Values:
    """All fields under their own names."""
    return {"environment_id": environment_id_of(environment), **_storable(environment.model_dump())}


def sweep_values(sweep: SweepRecord) -> Values:
    """What was asked, ``auto`` as NULL where the column is a number."""
    spec = sweep.spec
    asked = {
        **spec.model_dump(exclude={"model", "load"}),
        **spec.load.model_dump(),
        **spec.model.model_dump(exclude={"name", "revision"}),
        "model": spec.model.name,
        "model_revision": spec.model.revision,
        "replicas": None if spec.load.replicas == "auto" else spec.load.replicas,
        "workers": None if spec.load.workers == "auto" else spec.load.workers,
    }
    return _storable({**asked, **sweep.model_dump(exclude={"kind", "spec"})})


def compilation_values(record: CompilationRecord) -> Values:
    """The attempt's row: that of an artifact, or that of a failure."""
    return _storable(
        {
            **record.model_dump(include={"batch_size", "attempt", "recorded_at"}),
            "sweep_id": record.sweep.sweep_id,
            "status": "failed" if record.result is None else "ok",
            "warnings": (),
            **(_artifact_values(record.result) if record.result else {}),
            **(_failure_values(record.failure) if record.failure else {}),
        }
    )


def measurement_values(record: MeasurementRecord) -> Values:
    """The attempt's row: that of a measurement, or that of a failure."""
    return _storable(
        {
            **record.model_dump(include={"batch_size", "scenario", "attempt", "recorded_at", "samples_url"}),
            "sweep_id": record.sweep.sweep_id,
            "status": "failed",
            "checks": (),
            "warnings": (),
            **(_result_values(record.result) if record.result else {}),
            **(_failure_values(record.failure) if record.failure else {}),
        }
    )


def round_values(measured: Round) -> Values:
    """The round's row, without the measurement's key."""
    own = measured.model_dump(exclude={"index", "latency"})
    return {"round_index": measured.index, **own, **measured.latency.model_dump()}


def _artifact_values(result: CompileResult) -> Values:
    artifact = {f"artifact_{name}": value for name, value in result.artifact.model_dump().items()}
    own = result.model_dump(exclude={"format_version", "batch_size", "artifact", "environment"})
    return {**own, **artifact, "environment_id": environment_id_of(result.environment)}


def _result_values(result: Measurement) -> Values:
    nested = {"throughput_interval", "latency", "latency_intervals", "latency_histogram", "overhead"}
    own = result.model_dump(
        exclude={"format_version", "batch_size", "scenario", "server", "rounds", "environment", *nested}
    )
    histogram = result.latency_histogram
    return {
        **own,
        **result.latency.model_dump(),
        **_limit_values(result),
        **(_overhead_values(result.overhead) if result.overhead else {}),
        **(_server_values(result.server) if result.server else {}),
        "topology": result.topology or None,
        "telemetry": own["telemetry"] or None,
        "latency_buckets": histogram and histogram.buckets,
        "latency_bucket_batches": histogram and histogram.batches,
        "status": "ok" if result.valid else "invalid",
        "environment_id": environment_id_of(result.environment),
    }


def _limit_values(result: Measurement) -> Values:
    intervals = result.latency_intervals or LatencyIntervals()
    found = {
        "throughput_inf_per_s": result.throughput_interval,
        **{name: getattr(intervals, name) for name in PERCENTILES},
    }
    return {
        column: end
        for figure, interval in found.items()
        if interval is not None
        for column, end in zip(LIMITS[figure], (interval.low, interval.high), strict=True)
    }


def _overhead_values(overhead: HarnessOverhead) -> Values:
    return {
        "overhead_ns_per_call": overhead.cost_per_call_ns,
        "overhead_service_ms": overhead.service_ms,
        **overhead.model_dump(include={"ideal_batches_per_s", "ceiling_batches_per_s"}),
    }


def _server_values(server: ServerFigures) -> Values:
    own = server.model_dump()
    service = {f"service_{name}": value for name, value in own.pop("service").items()}
    return {"server_trials": own.pop("trials"), **own, **service}


def _failure_values(failure: Failure) -> Values:
    return {
        "failure_kind": failure.kind,
        "failure_message": failure.message,
        "failure_log_tail": failure.log_tail,
    }


def _storable(values: Values) -> Values:
    return {name: _storable_value(value) for name, value in values.items()}


def _storable_value(value: object) -> object:
    """The value as PostgreSQL takes it: no NUL in text, lists for tuples, a zone for every time."""
    match value:
        case str():
            return value.replace("\0", "\N{REPLACEMENT CHARACTER}")
        case dict():
            return _storable(value)
        case tuple():
            return [_storable_value(item) for item in value]
        case datetime(tzinfo=None):
            return value.replace(tzinfo=UTC)
        case _:
            return value
