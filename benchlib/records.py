"""What is kept of a sweep: the unit of the spool and of every write to the database.

A record carries its whole sweep, so that each one can be written, or replayed later, on its own.
"""

from __future__ import annotations

import uuid
from datetime import UTC, date, datetime
from typing import Literal

from pydantic import AwareDatetime, Field

from benchlib.results import CompileResult, Failure, Measurement
from benchlib.spec import Spec, SweepSpec

SWEEP_NAMESPACE = uuid.UUID("b6a5a4a8-6f6c-5b0e-9a55-6d0f3c9b1f10")


def sweep_id_of(dag_id: str, run_id: str) -> uuid.UUID:
    """The sweep's id, the same on every worker and on every retry, without asking a database."""
    return uuid.uuid5(SWEEP_NAMESPACE, f"{dag_id}\n{run_id}")


class SweepRecord(Spec):
    """One sweep: what was asked, by which run, when."""

    kind: Literal["sweep"] = "sweep"
    sweep_id: uuid.UUID
    dag_id: str
    run_id: str
    origin: Literal["dag", "import"] = "dag"
    spec: SweepSpec
    created_at: AwareDatetime
    confirms_sweep_id: uuid.UUID | None = None
    """The sweep whose suspicious figures this one measures again; ``None``: it stands by itself."""

    @property
    def night(self) -> date:
        """UTC date on which it began."""
        return self.created_at.astimezone(UTC).date()


class CompilationRecord(Spec):
    """One attempt to compile one batch size: a result or a failure, never both."""

    kind: Literal["compilation"] = "compilation"
    sweep: SweepRecord
    batch_size: int = Field(ge=1)
    attempt: int = Field(1, ge=1)
    result: CompileResult | None = None
    failure: Failure | None = None
    recorded_at: AwareDatetime


class MeasurementRecord(Spec):
    """One attempt to measure one batch size: a result or a failure, never both."""

    kind: Literal["measurement"] = "measurement"
    sweep: SweepRecord
    batch_size: int = Field(ge=1)
    scenario: str = "offline"
    attempt: int = Field(1, ge=1)
    result: Measurement | None = None
    failure: Failure | None = None
    recorded_at: AwareDatetime
    samples_url: str | None = None
    """Where the clock readings of every batch are kept; ``None``: nowhere."""


Record = SweepRecord | CompilationRecord | MeasurementRecord


def sweep_of(record: Record) -> SweepRecord:
    """The sweep that a record belongs to, or is."""
    return record if isinstance(record, SweepRecord) else record.sweep


def started_at(record: Record) -> datetime:
    """When the record's subject came about, for ordering a replay."""
    return record.created_at if isinstance(record, SweepRecord) else record.recorded_at
