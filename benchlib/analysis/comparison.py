"""The figures of one sweep side by side: what the comparison table shows and the peak is found in."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from benchlib.results import Scenario, WorkerMode, why_blank


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
    throughput_low_inf_per_s: float | None = None
    """Lower end of the 95 % interval of the throughput; ``None``: too few rounds to tell, or not known."""
    throughput_high_inf_per_s: float | None = None
    p90_ms: float | None = None
    p99_9_ms: float | None = None
    samples: int | None = None
    """Batches that the latencies are taken from; ``None``: an imported table does not say."""
    worker_mode: WorkerMode | None = None

    @property
    def throughput_limits(self) -> tuple[float, float] | None:
        """The 95 % limits around the throughput, inf/s; ``None``: not known, or not around it.

        One slow stretch can take the throughput of the whole time out of the limits, which come from the
        mean of its parts.
        """
        low, rate, high = (
            self.throughput_low_inf_per_s,
            self.throughput_inf_per_s,
            self.throughput_high_inf_per_s,
        )
        if low is None or rate is None or high is None or not low <= rate <= high:
            return None
        return low, high


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
    latency_limit_ms: float | None = None
    """Highest acceptable P99 that the sweep asked for."""
    scenario: Scenario = "offline"


def blanks(rows: Iterable[ComparisonRow], percentile: str) -> dict[str, list[int]]:
    """The batch sizes that were measured but lack the percentile of this field, by the reason."""
    found: dict[str, list[int]] = {}
    for row in rows:
        if row.throughput_inf_per_s is not None and getattr(row, percentile) is None:
            found.setdefault(why_blank(percentile, row.samples), []).append(row.batch_size)
    return found
