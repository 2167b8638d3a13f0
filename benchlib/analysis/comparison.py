"""The figures of one sweep side by side: what the comparison table shows and the peak is found in."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Literal


@dataclass(frozen=True)
class ComparisonRow:
    """One batch size of a sweep. A failed one has a reason and no figures."""

    filename: str
    batch_size: int
    status: Literal["ok", "invalid", "failed"]
    reason: str = ""
    """Why it failed or cannot be believed; empty when ok."""
    batches: int | None = None
    inferences: int | None = None
    workers: int | None = None
    replicas: int | None = None
    duration_s: float | None = None
    throughput_inf_per_s: float | None = None
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None


@dataclass(frozen=True)
class Comparison:
    """A sweep's rows, ascending by batch size, with what one must know to read them."""

    sweep_id: uuid.UUID
    model: str
    sequence_length: int
    backend: str
    precision: str | None
    device: str
    hardware: bool
    """False for a CPU or a stand-in: such figures never stand for an accelerator."""
    instance_type: str | None
    label: str | None
    origin: Literal["dag", "import"]
    created_at: datetime
    rows: tuple[ComparisonRow, ...]
