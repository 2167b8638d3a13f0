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
    HarnessOverhead,
    Interval,
    LatencyIntervals,
    LatencySummary,
    Measurement,
    Reading,
    Round,
    ServerFigures,
    ServerTrial,
)
from benchlib.spec import LoadSpec, ModelSpec, SweepSpec

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOST = Environment(
    hardware=False, device="Test CPU", cores=2, host="host-a", torch="2.13.0", fingerprint="f1"
)
LITTLE = Check(name="little", passed=True, figure=12.0, limit=0.02, unit="workers", advice="All well.")
NOISY = Check(name="steal", passed=False, advice="Other guests took the CPU: measure again.")
QUARRELSOME = Check(name="drift", passed=False, advice="The rounds drift.")
HARNESS = HarnessOverhead(
    cost_per_call_ns=420.5, service_ms=0.948, ideal_batches_per_s=12658.2, ceiling_batches_per_s=12600.9
)
READINGS = (
    Reading(name="core_utilisation", value=0.97, unit="ratio", core=0),
    Reading(name="device_memory", value=2.5e9, unit="bytes"),
)
TRIALS = (
    ServerTrial(
        target_batches_per_s=600.0, achieved_batches_per_s=540.0, samples=5400, p99_ms=9.5, met=False
    ),
    ServerTrial(target_batches_per_s=500.5, achieved_batches_per_s=500.0, samples=5000, p99_ms=4.5, met=True),
)


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


def told(batch_size: int = 1, **changes: Any) -> Measurement:
    """With all that a measurement can say of how it was driven."""
    limits = {
        "p50_ms": Interval(low=0.938, high=0.94),
        "p90_ms": Interval(low=0.959, high=0.961),
        "p95_ms": Interval(low=0.97, high=0.98),
        "p99_ms": Interval(low=0.985, high=0.995),
        "p99_9_ms": Interval(low=1.0, high=1.25),
    }
    values = {
        "worker_mode": "native",
        "processes": 1,
        "topology": "C++ loop: the calls are short.",
        "latency": latency(p90_ms=0.96, p99_9_ms=1.1, max_ms=1.3),
        "throughput_interval": Interval(low=12600.5, high=12700.25),
        "latency_intervals": LatencyIntervals(**limits),
        "overhead": HARNESS,
        "telemetry": READINGS,
    }
    return measured(batch_size, **{**values, **changes})


def served(target_batches_per_s: float = 500.5, **changes: Any) -> Measurement:
    """Found by a search, unless ``trials`` is empty."""
    figures = {
        "target_batches_per_s": target_batches_per_s,
        "arrival_seed": 7,
        "p99_limit_ms": 5.0,
        "trials": TRIALS,
        "service": latency(p50_ms=0.9, p99_9_ms=1.0),
    }
    own = {name: changes.pop(name) for name in figures if name in changes}
    server = ServerFigures(**{**figures, **own})
    return told(**{"scenario": "server", "server": server, **changes})


def asked_of_server(run_id: str = "server", **load: Any) -> SweepRecord:
    """A search, unless a ``target_batches_per_s`` is given."""
    spec = sweep().spec
    searched = LoadSpec(**{"latency_limit_ms": 5.0, "arrival_seed": 7, **load})
    return sweep(run_id, spec=spec.model_copy(update={"scenario": "server", "load": searched}))


def server_measurement(run_id: str = "server", **changes: Any) -> MeasurementRecord:
    values = {"sweep": asked_of_server(run_id), "scenario": "server", "result": served()}
    return measurement(**{**values, **changes})


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
