"""Records of a table that somebody else measured, so that it stands beside our own sweeps."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal

from pydantic import ValidationError

from benchlib.analysis.littles_law import PER_SECOND
from benchlib.errors import BadInput
from benchlib.records import MeasurementRecord, SweepRecord, sweep_id_of
from benchlib.report.seed_table import SeedRow, SeedTable
from benchlib.results import Environment, LatencySummary, Measurement
from benchlib.spec import LoadSpec, ModelSpec, SweepSpec

DAG_ID = "import"
"""Stands where a sweep's DAG stands."""

FULL_DIGITS = 3
"""A duration with fewer decimals is replaced by inferences / throughput, which is more exact."""

DEVICES = {"neuron": "unnamed accelerator", "cpu": "unnamed CPU"}


@dataclass(frozen=True)
class Claim:
    """What a table does not say and the person who imports it does."""

    model: str
    sequence_length: int
    backend: Literal["neuron", "cpu"]
    instance_type: str | None
    label: str | None


@dataclass(frozen=True)
class ImportedSweep:
    """A sweep and its measurements, ready to be stored."""

    sweep: SweepRecord
    measurements: tuple[MeasurementRecord, ...]


def records_of(table: SeedTable, claim: Claim, imported_at: datetime) -> ImportedSweep:
    """Turn a table into records. Its time of measurement is not known: the import's stands in.

    The same table with the same claim has the same sweep id, whatever its layout and whenever it is imported.

    Raises:
        BadInput: the claim or the table's load is none that a sweep may have.
    """
    try:
        spec = _spec(table, claim)
        results = [_measurement(table, row, claim, imported_at) for row in table.rows]
    except ValidationError as error:
        raise BadInput.from_validation(error) from error
    run_id = _digest(claim, results)
    sweep = SweepRecord(
        sweep_id=sweep_id_of(DAG_ID, run_id),
        dag_id=DAG_ID,
        run_id=run_id,
        origin="import",
        spec=spec,
        created_at=imported_at,
    )
    measurements = (
        MeasurementRecord(sweep=sweep, batch_size=result.batch_size, result=result, recorded_at=imported_at)
        for result in results
    )
    return ImportedSweep(sweep, tuple(measurements))


def _spec(table: SeedTable, claim: Claim) -> SweepSpec:
    first = table.rows[0]
    return SweepSpec(
        model=ModelSpec(name=claim.model, sequence_length=claim.sequence_length),
        batch_sizes=[row.batch_size for row in table.rows],
        backend=claim.backend,
        load=LoadSpec(
            replicas=first.replicas,
            workers=first.workers,
            batches_per_worker=min(row.batches for row in table.rows) // first.workers,
            rounds=1,
        ),
        label=claim.label,
    )


def _measurement(table: SeedTable, row: SeedRow, claim: Claim, imported_at: datetime) -> Measurement:
    unit = table.latency_unit.unit
    return Measurement(
        filename=row.filename,
        batch_size=row.batch_size,
        backend=claim.backend,
        replicas=row.replicas,
        workers=row.workers,
        batches=row.batches,
        inferences=row.inferences,
        duration_s=_duration_s(row),
        throughput_inf_per_s=float(row.throughput_inf_per_s),
        latency=LatencySummary(
            samples=row.batches,
            p50_ms=_ms(row.p50, unit),
            p95_ms=_ms(row.p95, unit),
            p99_ms=_ms(row.p99, unit),
        ),
        environment=_environment(claim),
        started_at=imported_at,
        warnings=(table.latency_unit.sentence,),
    )


def _duration_s(row: SeedRow) -> float:
    exact = -int(row.duration_s.as_tuple().exponent) >= FULL_DIGITS
    return float(row.duration_s if exact else row.inferences / row.throughput_inf_per_s)


def _ms(latency: Decimal | None, unit: str) -> float | None:
    """In decimal arithmetic, so that no digit of the table changes."""
    return None if latency is None else float(latency * 1000 / Decimal(PER_SECOND[unit]))


def _environment(claim: Claim) -> Environment:
    known = json.dumps([DAG_ID, claim.backend, claim.instance_type])
    return Environment(
        hardware=claim.backend != "cpu",
        device=DEVICES[claim.backend],
        instance_type=claim.instance_type,
        fingerprint=hashlib.sha256(known.encode()).hexdigest(),
    )


def _digest(claim: Claim, results: list[Measurement]) -> str:
    figures = [result.model_dump(mode="json", exclude={"started_at", "warnings"}) for result in results]
    return hashlib.sha256(json.dumps([asdict(claim), figures], sort_keys=True).encode()).hexdigest()
