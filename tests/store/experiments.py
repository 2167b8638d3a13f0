"""Experiments to store: two SDKs of one host, with pairs that differ by so much."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from benchlib.analysis.paired import judge_pairs
from benchlib.experiments import (
    ComparisonSpec,
    ExperimentRecord,
    PairRecord,
    TurnRecord,
    experiment_id_of,
)
from benchlib.spec import SweepSpec
from benchlib.store.experiments import Outcome
from tests.store import samples

OLD = samples.HOST.model_copy(update={"neuronx_cc": "2.20.1", "python": "3.10.12"})
NEW = samples.HOST.model_copy(update={"neuronx_cc": "2.21.0", "python": "3.12.3", "fingerprint": "f2"})


def spec(**changes: Any) -> ComparisonSpec:
    sweep = SweepSpec(model=samples.sweep().spec.model, batch_sizes=(1, 2), label="SDK 2.26?")
    values = {"sweep": sweep, "old": "/opt/old", "new": "/opt/new", "pairs": 6, "max_pairs": 6}
    return ComparisonSpec(**{**values, **changes})


def experiment(run_id: str = "ab-1", **changes: Any) -> ExperimentRecord:
    values = {
        "experiment_id": experiment_id_of("sdk_comparison", run_id),
        "dag_id": "sdk_comparison",
        "run_id": run_id,
        "author": "Ana",
        "spec": spec(),
        "created_at": samples.NOON,
        "old_environment": OLD,
        "new_environment": NEW,
    }
    return ExperimentRecord(**{**values, **changes})


def turn(throughput_inf_per_s: float, **changes: Any) -> TurnRecord:
    values = {
        "throughput_inf_per_s": throughput_inf_per_s,
        "p50_ms": 1000 / throughput_inf_per_s,
        "p99_ms": 1200 / throughput_inf_per_s,
        "output_error": 0.001,
    }
    return TurnRecord(**{**values, **changes})


def pair(number: int = 1, size: int = 1, run_id: str = "ab-1", **changes: Any) -> PairRecord:
    """A new side that is 10 % slower, and a little noise."""
    values = {
        "experiment_id": experiment_id_of("sdk_comparison", run_id),
        "batch_size": size,
        "number": number,
        "first": "old" if number % 2 else "new",
        "old": turn(1000.0),
        "new": turn(900.0 + number),
        "host": "host-a",
        "recorded_at": samples.NOON + timedelta(minutes=number),
    }
    return PairRecord(**{**values, **changes})


def pairs(count: int = 6, **changes: Any) -> list[PairRecord]:
    return [pair(number, size, **changes) for size in (1, 2) for number in range(1, count + 1)]


def outcome(**changes: Any) -> Outcome:
    usable = [each.figures() for each in pairs()]
    values = {
        "verdict": "worse",
        "sentence": "Verdict: worse.",
        "family": judge_pairs(usable, spec().limits),
        "problems": (),
        "notes": ("2 of 12 pairs were noisy",),
        "finished_at": samples.NOON + timedelta(hours=1),
    }
    return Outcome(**{**values, **changes})
