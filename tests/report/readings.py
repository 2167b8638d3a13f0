"""Sweeps and histories as the store returns them, made by hand: no database is needed to draw a chart."""

from __future__ import annotations

import math
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from benchlib.analysis.comparison import Comparison, ComparisonRow
from benchlib.results import BUCKET_GROWTH, Check
from benchlib.store.environments import EnvironmentDifference
from benchlib.store.history import History, MissingNight, NightReading, SdkChange, Series
from benchlib.store.judgement_lists import ChangeLine
from benchlib.store.sweep_reading import (
    Bucket,
    CompilationReading,
    EnvironmentReading,
    Limits,
    RoundReading,
    SinceLast,
    SizeReading,
    SweepReading,
)

NIGHT = date(2026, 3, 1)
BEGAN = datetime(2026, 3, 1, 2, 30, tzinfo=UTC)
SWEEP = uuid.UUID("1f5b6c7d-0000-5000-8000-000000000001")
ENVIRONMENT = uuid.UUID("2f5b6c7d-0000-5000-8000-000000000002")
SERIES = uuid.UUID("3f5b6c7d-0000-5000-8000-000000000003")
HOSTILE = "<script>alert(\"1\")</script> & 'a.b[0]' \u05d0\u05d1\u05d2 \u202eevil " + "x" * 10_000
"""A name with markup, quotes, a path into an object, right-to-left letters, an override and 10 kB."""

SEED = (
    (1, 12649.572, 0.939, 0.974, 0.990),
    (2, 15394.022, 1.522, 1.594, 1.631),
    (3, 16869.460, 2.115, 2.192, 2.220),
    (4, 17584.681, 2.723, 2.794, 2.820),
    (5, 16851.301, 3.512, 3.659, 3.694),
    (6, 16624.728, 4.302, 4.486, 4.569),
    (7, 16738.430, 4.940, 5.292, 5.331),
    (8, 16475.001, 5.760, 6.305, 6.426),
    (9, 15423.520, 6.826, 7.422, 7.536),
    (10, 15480.798, 7.577, 8.229, 8.504),
)
"""Batch size, inf/s, P50, P95 and P99 of the table that this project started from."""

PASSED = Check(
    name="little", passed=True, figure=11.98, limit=0.02, unit="workers", advice="Little's law holds."
)
FAILED = Check(
    name="drift", passed=False, figure=0.31, limit=0.02, unit="", advice="The rounds drift: run again."
)


def row(
    batch_size: int, rate: float, p50_ms: float, p95_ms: float, p99_ms: float, **changes: Any
) -> ComparisonRow:
    values = {
        "filename": f"model_batch_size_{batch_size}.pt",
        "batch_size": batch_size,
        "status": "ok",
        "batches": 12000,
        "inferences": 12000 * batch_size,
        "workers": 12,
        "replicas": 12,
        "duration_s": 12000 * batch_size / rate,
        "throughput_inf_per_s": rate,
        "p50_ms": p50_ms,
        "p95_ms": p95_ms,
        "p99_ms": p99_ms,
        "throughput_low_inf_per_s": 0.99 * rate,
        "throughput_high_inf_per_s": 1.01 * rate,
        "samples": 12000,
        "worker_mode": "thread",
    }
    return ComparisonRow(**{**values, **changes})


def rows() -> tuple[ComparisonRow, ...]:
    """The seed's rows; size 9 is not valid, size 16 failed."""
    found = [row(*figures) for figures in SEED]
    found[8] = replace(found[8], status="invalid", reason=FAILED.advice)
    lost = ComparisonRow("model_batch_size_16.pt", 16, "failed", "The device ran out of memory.")
    return (*found, lost)


def comparison(**changes: Any) -> Comparison:
    values = {
        "sweep_id": SWEEP,
        "model": "bert-base-uncased",
        "sequence_length": 128,
        "backend": "neuron",
        "precision": "bf16",
        "device": "Inferentia2",
        "hardware": True,
        "instance_type": "inf2.24xlarge",
        "label": "SDK 2.26.0",
        "origin": "dag",
        "created_at": BEGAN,
        "rows": rows(),
        "latency_limit_ms": 6.0,
    }
    return Comparison(**{**values, **changes})


def on_cpu(**changes: Any) -> Comparison:
    return comparison(
        **{"backend": "cpu", "device": "Test CPU", "hardware": False, "instance_type": None, **changes}
    )


def sweep(table: Comparison | None = None, **changes: Any) -> SweepReading:
    table = table or comparison()
    measured = [each for each in table.rows if each.throughput_inf_per_s is not None]
    values = {
        "comparison": table,
        "dag_id": "inf2_batch_sweep",
        "run_id": "scheduled__2026-03-01",
        "night": NIGHT,
        "model_revision": None,
        "model_variant": None,
        "compiler_args": ("--auto-cast", "matmult"),
        "note": "The first night with the new SDK.",
        "confirms_sweep_id": None,
        "sizes": tuple(map(size, measured)),
        "compilations": tuple(compilation(each.batch_size) for each in table.rows),
        "environments": (
            EnvironmentReading(
                ENVIRONMENT,
                tuple(each.batch_size for each in measured),
                (("device", table.device), ("neuron_sdk", "2.26.0"), ("neuronx_cc", "2.21.18209")),
            ),
        ),
        "since_last": SinceLast(
            uuid.UUID(int=7),
            NIGHT - timedelta(1),
            (EnvironmentDifference("neuronx_cc", "2.20.9961", "2.21.18209", 6),),
        ),
        "changes": (),
        "annotations": (),
    }
    return SweepReading(**{**values, **changes})


def size(of: ComparisonRow) -> SizeReading:
    assert of.throughput_inf_per_s is not None
    assert of.p50_ms is not None
    limits = {
        name: Limits(low=value * 0.98, high=value * 1.03)
        for name in ("p50_ms", "p95_ms", "p99_ms")
        if (value := getattr(of, name)) is not None
    }
    return SizeReading(
        batch_size=of.batch_size,
        attempt=1,
        status=of.status,
        series_id=SERIES,
        environment_id=ENVIRONMENT,
        started_at=BEGAN,
        mean_ms=of.p50_ms,
        max_ms=2 * of.p50_ms,
        intervals=limits,
        load_duration_s=21.5,
        processes=1,
        topology="Python threads of one process: calls are long enough.",
        overhead_ns_per_call=15000.0,
        target_batches_per_s=None,
        checks=(PASSED, FAILED) if of.status == "invalid" else (PASSED,),
        telemetry=(),
        warnings=(),
        failure_kind=None,
        failure_message=None,
        failure_log_tail=(),
        rounds=(
            RoundReading(0, 12000, 2.0, of.throughput_inf_per_s, of.p50_ms, of.p50_ms, of.p95_ms, of.p99_ms),
        ),
        buckets=tuple(buckets(of.p50_ms)),
    )


def buckets(p50_ms: float) -> Iterator[Bucket]:
    """A bell around the median and a few stragglers at twice as much."""
    middle = math.ceil(math.log(p50_ms, BUCKET_GROWTH))
    for distance in range(-4, 6):
        yield bucket(middle + distance, 1 + int(3000 * math.exp(-(distance**2) / 3)))
    yield bucket(middle + 34, 12)


def bucket(number: int, batches: int) -> Bucket:
    return Bucket(BUCKET_GROWTH ** (number - 1), BUCKET_GROWTH**number, batches)


def compilation(batch_size: int) -> CompilationReading:
    if batch_size == 16:
        return CompilationReading(
            16, 1, "failed", None, None, None, None, None, "error", "The device ran out of memory."
        )
    return CompilationReading(
        batch_size, 1, "ok", batch_size % 2 == 0, 60.0 + batch_size, 4 * 10**9, "a" * 64, 10**8, None, None
    )


def series(**changes: Any) -> Series:
    values = {
        "series_id": SERIES,
        "model": "bert-base-uncased",
        "model_revision": None,
        "model_variant": None,
        "sequence_length": 128,
        "precision": "bf16",
        "compiler_args": (),
        "batch_size": 4,
        "scenario": "offline",
        "arrivals": None,
        "replicas": 12,
        "workers": 12,
        "worker_mode": "thread",
        "backend": "neuron",
        "instance_type": "inf2.24xlarge",
        "hardware": True,
        "first_night": NIGHT,
        "last_night": NIGHT + timedelta(89),
    }
    return Series(**{**values, **changes})


UPGRADES = {30: "2.26.0", 64: "2.27.1"}
LOST = {12: "none", 13: "none", 14: "none", 45: "failed"}
SUSPECT = (22, 70)


def night(number: int, **changes: Any) -> NightReading:
    """By its number; the rates wander by 1 % and lose 6 % with the second upgrade."""
    rate = 17500 * (1 + 0.006 * math.sin(number * 2.4)) * (0.94 if number >= 64 else 1.0)
    suspect = number in SUSPECT
    rate *= 0.9 if suspect else 1.0
    sdk = "2.25.0" if number < 30 else "2.26.0" if number < 64 else "2.27.1"
    changed = (EnvironmentDifference("neuronx_cc", "2.20", "2.21", 6),) if number in UPGRADES else ()
    values = {
        "night": NIGHT + timedelta(number),
        "created_at": BEGAN + timedelta(number),
        "sweep_id": uuid.UUID(int=1000 + number),
        "origin": "dag",
        "label": None,
        "confirms_sweep_id": None,
        "sdk": sdk,
        "status": "invalid" if suspect else "ok",
        "reason": FAILED.advice if suspect else "",
        "device": "Inferentia2",
        "throughput_inf_per_s": rate,
        "p50_ms": 48_000 / rate,
        "p90_ms": 49_000 / rate,
        "p95_ms": 50_000 / rate,
        "p99_ms": 52_000 / rate,
        "p99_9_ms": None,
        "samples": 12000,
        "intervals": {"throughput_inf_per_s": Limits(low=0.998 * rate, high=1.002 * rate)},
        "spreads": {"throughput_inf_per_s": Limits(0.994 * rate, 1.004 * rate)},
        "environment_id": ENVIRONMENT,
        "environment_changes": changed,
    }
    return NightReading(**{**values, **changes})


def change(**changes: Any) -> ChangeLine:
    values = {
        "change_id": 1,
        "status": "acknowledged",
        "series_id": SERIES,
        "model": "bert-base-uncased",
        "batch_size": 4,
        "backend": "neuron",
        "instance_type": "inf2.24xlarge",
        "hardware": True,
        "metric": "throughput_inf_per_s",
        "direction": "worse",
        "before_value": 17500.0,
        "after_value": 16450.0,
        "relative_change": -0.06,
        "relative_low": -0.066,
        "relative_high": -0.054,
        "last_good_sweep_id": uuid.UUID(int=1063),
        "last_good_night": NIGHT + timedelta(63),
        "first_bad_sweep_id": uuid.UUID(int=1064),
        "first_bad_night": NIGHT + timedelta(64),
        "detected_at": BEGAN + timedelta(64),
        "author": "Ana",
        "annotated_at": BEGAN + timedelta(65),
        "reason": "Reported to the compiler's people.",
        "environment_changes": "neuronx_cc 2.20 -> 2.21",
        "incident_id": 1,
    }
    return ChangeLine(**{**values, **changes})


def history(nights: int = 90, **changes: Any) -> History:
    """Two upgrades, the second costs 6 %; four nights are missing, two are not valid."""
    upgrades = [number for number in UPGRADES if number < nights]
    values = {
        "series": series(),
        "since": NIGHT,
        "until": NIGHT + timedelta(nights - 1),
        "nights": tuple(night(number) for number in range(nights) if number not in LOST),
        "missing": tuple(
            MissingNight(
                NIGHT + timedelta(number), state, None, "no sweep" if state == "none" else "It crashed."
            )
            for number, state in LOST.items()
            if number < nights
        ),
        "changes": (change(),) if nights > 64 else (),
        "sdk_changes": tuple(
            SdkChange(NIGHT + timedelta(n), BEGAN + timedelta(n), night(n - 1).sdk, night(n).sdk)
            for n in upgrades
        ),
    }
    return History(**{**values, **changes})
