"""Records to store: the first two rows of the table that this project started from, and what goes wrong."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from benchlib.records import CompilationRecord, MeasurementRecord, SweepRecord, sweep_id_of
from benchlib.results import (
    ArtifactRef,
    Check,
    CompileResult,
    Environment,
    Failure,
    LatencySummary,
    Measurement,
    Round,
)
from benchlib.spec import ModelSpec, SweepSpec

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOST = Environment(
    hardware=False, device="Test CPU", cores=2, host="host-a", torch="2.13.0", fingerprint="f1"
)
LITTLE = Check(name="little", passed=True, figure=12.0, limit=0.02, unit="workers", advice="All well.")
NOISY = Check(name="steal", passed=False, advice="Other guests took the CPU: measure again.")
QUARRELSOME = Check(name="drift", passed=False, advice="The rounds drift.")


def sweep(run_id: str = "run-1", **changes: Any) -> SweepRecord:
    spec = SweepSpec(model=ModelSpec(name="bert-base-uncased"), batch_sizes=(1, 2), label="first")
    values = {
        "sweep_id": sweep_id_of("inf2_batch_sweep", run_id),
        "dag_id": "inf2_batch_sweep",
        "run_id": run_id,
        "spec": spec,
        "created_at": NOON,
    }
    return SweepRecord(**{**values, **changes})


def asked(*batch_sizes: int) -> SweepRecord:
    return sweep(spec=sweep().spec.model_copy(update={"batch_sizes": batch_sizes}))


def latency(**changes: Any) -> LatencySummary:
    return LatencySummary(
        **{"samples": 12000, "mean_ms": 0.948, "p50_ms": 0.939, "p95_ms": 0.974, "p99_ms": 0.990, **changes}
    )


def measured(batch_size: int = 1, throughput_inf_per_s: float = 12649.572, **changes: Any) -> Measurement:
    inferences = 12000 * batch_size
    duration_s = inferences / throughput_inf_per_s
    halves = tuple(
        Round(
            index=index,
            batches=6000,
            inferences=inferences // 2,
            duration_s=duration_s / 2,
            throughput_inf_per_s=throughput_inf_per_s,
            latency=latency(samples=6000),
        )
        for index in (0, 1)
    )
    values = {
        "filename": f"model_batch_size_{batch_size}.pt",
        "batch_size": batch_size,
        "backend": "cpu",
        "precision": "fp32",
        "replicas": 12,
        "workers": 12,
        "batches": 12000,
        "inferences": inferences,
        "duration_s": duration_s,
        "throughput_inf_per_s": throughput_inf_per_s,
        "latency": latency(),
        "rounds": halves,
        "checks": (LITTLE,),
        "environment": HOST,
        "started_at": NOON,
    }
    return Measurement(**{**values, **changes})


def measurement(batch_size: int = 1, attempt: int = 1, **changes: Any) -> MeasurementRecord:
    values = {
        "sweep": sweep(),
        "batch_size": batch_size,
        "attempt": attempt,
        "recorded_at": NOON + timedelta(minutes=batch_size, seconds=attempt),
    }
    result = {} if "failure" in changes or "result" in changes else {"result": measured(batch_size)}
    return MeasurementRecord(**{**values, **result, **changes})


def failure(message: str = "The device ran out of memory.", **changes: Any) -> Failure:
    return Failure(**{"stage": "measure", "kind": "crashed", "message": message, **changes})


def compiled(batch_size: int = 1) -> CompileResult:
    artifact = ArtifactRef(
        key="a" * 64, filename=f"model_batch_size_{batch_size}.pt", sha256="b" * 64, size_bytes=4096
    )
    return CompileResult(
        batch_size=batch_size,
        backend="cpu",
        precision="fp32",
        artifact=artifact,
        cache_hit=False,
        compile_duration_s=31.5,
        environment=HOST,
        warnings=("slow operator",),
    )


def compilation(batch_size: int = 1, attempt: int = 1, **changes: Any) -> CompilationRecord:
    values = {
        "sweep": sweep(),
        "batch_size": batch_size,
        "attempt": attempt,
        "recorded_at": NOON + timedelta(minutes=batch_size, seconds=attempt),
    }
    result = {} if "failure" in changes else {"result": compiled(batch_size)}
    return CompilationRecord(**{**values, **result, **changes})
