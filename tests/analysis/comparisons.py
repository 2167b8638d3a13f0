"""Comparisons to test with, without a database."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from benchlib.analysis.comparison import Comparison, ComparisonRow

SEED = Path(__file__).parent.parent / "report" / "data" / "seed.md"

EMPTY = Comparison(
    sweep_id=uuid.UUID("1b0a9c56-7a0e-5e0f-8c1d-2f4b6a8c0e21"),
    model="bert-base-uncased",
    sequence_length=128,
    backend="cpu",
    precision="fp32",
    device="Xeon",
    hardware=False,
    instance_type=None,
    label=None,
    origin="dag",
    created_at=datetime(2026, 3, 1, 2, 30, tzinfo=UTC),
    rows=(),
)


def ok(
    batch_size: int, throughput: float, p50_ms: float | None = None, half_width: float | None = None
) -> ComparisonRow:
    """A valid row of 10 workers with 100 batches each; its latencies obey Little's law unless given.

    ``half_width``: of the throughput's 95 % interval, inf/s; without it the row has none.
    """
    p50_ms = 10_000 * batch_size / throughput if p50_ms is None else p50_ms
    return ComparisonRow(
        filename=f"model_batch_size_{batch_size}.pt",
        batch_size=batch_size,
        status="ok",
        batches=1000,
        inferences=1000 * batch_size,
        workers=10,
        replicas=5,
        duration_s=1000 * batch_size / throughput,
        throughput_inf_per_s=throughput,
        p50_ms=p50_ms,
        p95_ms=p50_ms * 1.25,
        p99_ms=p50_ms * 1.5,
        throughput_low_inf_per_s=None if half_width is None else throughput - half_width,
        throughput_high_inf_per_s=None if half_width is None else throughput + half_width,
        samples=1000,
    )


def invalid(batch_size: int, throughput: float, reason: str = "the host was busy") -> ComparisonRow:
    return replace(ok(batch_size, throughput), status="invalid", reason=reason)


def failed(batch_size: int, reason: str = "out of memory") -> ComparisonRow:
    return ComparisonRow(f"model_batch_size_{batch_size}.pt", batch_size, "failed", reason)


def comparison(rows: Iterable[ComparisonRow], **fields: object) -> Comparison:
    return replace(EMPTY, rows=tuple(rows), **fields)  # type: ignore[arg-type]
