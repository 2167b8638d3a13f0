"""Nightly histories of one configuration, as long and as noisy as a test wants them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
from sqlalchemy import Engine

from benchlib.records import MeasurementRecord, SweepRecord, sweep_id_of
from benchlib.results import Environment, Measurement
from benchlib.store.repository import Repository
from tests.store import fleet, samples

FIRST = date(2026, 3, 2)
"""A Monday."""

SIZES = (1, 2, 4)
LEVELS: Mapping[int, float] = {1: 500.0, 2: 800.0, 4: 1000.0}
"""Batch size to its inferences per second, undisturbed."""

NOISE = 0.004

Factor = Callable[[int, int], float]
"""Night and batch size to what the throughput is multiplied with."""


@dataclass(frozen=True)
class Nights:
    """Some nights of bert-base-uncased with two replicas on an inf2.xlarge; P50 follows from Little's law."""

    count: int
    factor: Factor = field(default=lambda night, size: 1.0)
    p99_factor: Factor = field(default=lambda night, size: 1.0)
    missing: Callable[[int, int], bool] = field(default=lambda night, size: False)
    environment: Callable[[int], Environment] = field(default=lambda night: fleet.OLD)
    seed: int = 1
    first: int = 0

    def fill(self, engine: Engine) -> None:
        """Store them."""
        Repository(engine).record_all(list(self.records()))

    def records(self) -> Any:
        """One record per night and batch size."""
        noise = np.random.default_rng(self.seed).normal(1.0, NOISE, (self.first + self.count, 8, 2))
        for night in range(self.first, self.first + self.count):
            for size in SIZES:
                if not self.missing(night, size):
                    rate = LEVELS[size] * noise[night, size, 0] * self.factor(night, size)
                    tail = noise[night, size, 1] * self.p99_factor(night, size)
                    yield measurement(sweep(night), size, float(rate), float(tail), self.environment(night))


def night_of(night: int) -> date:
    """The date of a night by its number."""
    return FIRST + timedelta(days=night)


def sweep(night: int, **changes: Any) -> SweepRecord:
    """The sweep of a night."""
    run_id = changes.pop("run_id", f"night-{night}")
    own = {
        "sweep_id": sweep_id_of("inf2_batch_sweep", run_id),
        "run_id": run_id,
        "created_at": datetime.combine(night_of(night), datetime.min.time(), UTC) + timedelta(hours=2),
    }
    return fleet.sweep(night, 2, SIZES, **{**own, **changes})


def measurement(
    record: SweepRecord, size: int, rate: float, tail: float = 1.0, environment: Environment = fleet.OLD
) -> MeasurementRecord:
    """One batch size of a sweep; ``tail`` stretches the P99."""
    p50_ms = 2 * size / rate * 1000
    result = fleet.measured(record, size, rate, p50_ms * 1.25 * tail, environment=environment)
    return fleet.attempt(record, size, result=_with_p90(result, p50_ms * 1.1))


def _with_p90(result: Measurement, p90_ms: float) -> Measurement:
    latency = result.latency
    p50_ms = latency.p50_ms
    assert p50_ms is not None
    assert latency.p99_ms is not None
    inside = min(p90_ms, (p50_ms + latency.p99_ms) / 2)
    return result.model_copy(
        update={
            "latency": latency.model_copy(
                update={"p90_ms": inside, "p95_ms": max(inside, latency.p95_ms or 0)}
            )
        }
    )


def losing(share: float, since: int, until: int = 10**6, sizes: tuple[int, ...] = SIZES) -> Factor:
    """A loss of throughput from one night to another."""
    return lambda night, size: 1 - share if since <= night < until and size in sizes else 1.0


__all__ = ["FIRST", "LEVELS", "SIZES", "Nights", "losing", "measurement", "night_of", "samples", "sweep"]
