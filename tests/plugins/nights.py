"""Weeks of a fleet's nights up to a given one, with one of everything that the pages must show.

| model               | what it shows                                                                       |
|---------------------|-------------------------------------------------------------------------------------|
| bert-base-uncased   | ten sizes, an SDK upgrade five nights before the end that costs 9 % at size 4: open |
| config:bert-tiny    | on the CPU; a change that somebody acknowledged                                     |
| distilbert          | its last sweep failed to compile                                                    |
| roberta-base        | in its last sweep a size is not valid and one failed                                |
| electra-small       | did not run in the last three nights                                                |
| bert-large-uncased  | fine                                                                                |
| `HOSTILE`           | a name of markup, quotes, a direction that is reversed, and 10 kB                   |
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from sqlalchemy import Engine

from benchlib.records import CompilationRecord, MeasurementRecord, SweepRecord, sweep_id_of
from benchlib.results import (
    BUCKET_GROWTH,
    ArtifactRef,
    Check,
    CompileResult,
    Environment,
    Failure,
    HarnessOverhead,
    Interval,
    LatencyHistogram,
    LatencyIntervals,
    LatencySummary,
    Measurement,
    Round,
)
from benchlib.spec import LoadSpec, ModelSpec, SweepSpec
from benchlib.store.repository import Repository
from tests.store import judgements

HOSTILE = (
    "<script>alert(\"1\")</script><img src=x onerror=alert(2)> 'a'; DROP TABLE sweep; -- אבג ‮evil "
    + "x" * 10_000
)
FORMULA = '=HYPERLINK("http://example.org")'
UPGRADE = 5
WORKERS = 12
SHAPE = {1: 0.72, 2: 0.875, 3: 0.96, 4: 1.0, 5: 0.958, 6: 0.945, 7: 0.952, 8: 0.937, 9: 0.877, 10: 0.88}
"""Throughput by batch size, as shares of the peak."""

LITTLE = Check(
    name="littles_law",
    passed=True,
    figure=0.0011,
    limit=0.02,
    unit="ratio",
    advice="Throughput times mean latency gives the number of workers.",
)
STEAL = Check(
    name="host_quiet", passed=True, figure=0.002, limit=0.02, unit="ratio", advice="Nobody else took the CPU."
)
DRIFT = Check(
    name="drift",
    passed=False,
    figure=0.31,
    limit=0.02,
    unit="ratio",
    advice="The rounds drift: look for other load on the host, then run again.",
)

OLD = Environment(
    hardware=True, device="Inferentia2", instance_type="inf2.xlarge", cores=2, host="host-a",
    kernel="6.8.0-1031-aws", python="3.10.12", torch="2.7.0", torch_neuronx="2.7.0.2.9.9357",
    neuronx_cc="2.20.9961", neuron_runtime="2.27.23", neuron_driver="2.23.9", neuron_sdk="2.25.0",
    fingerprint="old",
)  # fmt: skip
NEW = OLD.model_copy(
    update={
        "neuronx_cc": "2.21.18209",
        "neuron_runtime": "2.28.23",
        "neuron_sdk": "2.26.0",
        "fingerprint": "new",
    }
)
CPU = Environment(
    hardware=False, device="Test CPU", cores=2, torch="2.13.0", kernel="6.1.0", fingerprint="cpu"
)


@dataclass(frozen=True)
class Plan:
    """One configuration."""

    model: str
    peak_inf_per_s: float
    sizes: tuple[int, ...]
    dag_id: str = "inf2_batch_sweep"
    backend: str = "neuron"
    label: str | None = None


MAIN = Plan("bert-base-uncased", 17_584.681, tuple(range(1, 11)), label="nightly")
TINY = Plan("config:bert-tiny", 412.0, (1, 2, 4), dag_id="cpu_sweep", backend="cpu")
FAILING = Plan("distilbert-base-uncased", 31_200.0, (1, 4, 8), dag_id="distilbert_sweep")
DOUBTFUL = Plan("roberta-base", 16_900.0, (1, 2, 4, 8), dag_id="roberta_sweep")
LATE = Plan("electra-small", 42_000.0, (1, 4), dag_id="electra_sweep")
FINE = Plan("bert-large-uncased", 5_650.0, (1, 2, 4, 8), dag_id="large_sweep")
STRANGE = Plan(HOSTILE, 9_000.0, (1, 4), dag_id="strange_sweep", label=FORMULA)
PLANS = (MAIN, TINY, FAILING, DOUBTFUL, LATE, FINE, STRANGE)


class Nights:
    """The nights up to ``last``; ``hardware=False`` makes all of them a stand-in's."""

    def __init__(self, last: date, nights: int = 24, hardware: bool = True) -> None:
        self.last = last
        self.nights = nights
        self.hardware = hardware
        self._random = random.Random(20)

    def sweep(self, plan: Plan, age: int) -> SweepRecord:
        """The sweep of a plan so many nights before the last."""
        night = self.last - timedelta(days=age)
        run_id = f"manual__{night}T00:00:00+00:00"
        spec = SweepSpec(
            # Not checked: an imported table may bring any name.
            model=ModelSpec(name="config:any").model_copy(update={"name": plan.model}),
            batch_sizes=plan.sizes,
            backend=plan.backend,
            load=LoadSpec(replicas=WORKERS if plan.backend == "neuron" else 2),
            label=plan.label,
        )
        # Early enough that nothing of it lies in the future.
        began = datetime.combine(night, time(0, 0), UTC) + timedelta(seconds=PLANS.index(plan))
        return SweepRecord(
            sweep_id=sweep_id_of(plan.dag_id, run_id),
            dag_id=plan.dag_id,
            run_id=run_id,
            spec=spec,
            created_at=began,
        )

    def fill(self, engine: Engine) -> None:
        """Store it all."""
        repository = Repository(engine)
        for plan in PLANS:
            for age in reversed(range(self.nights)):
                if not (plan is LATE and age < 3):
                    self._store(repository, plan, age)
        self._judge(engine)

    def _store(self, repository: Repository, plan: Plan, age: int) -> None:
        sweep = self.sweep(plan, age)
        if plan is FAILING and age == 0:
            for size in plan.sizes:
                failure = Failure(
                    stage="compile",
                    kind="crashed",
                    message="neuronx-cc ended with signal 9: the host ran out of memory.",
                    log_tail=("...", "Killed"),
                )
                repository.record(
                    CompilationRecord(
                        sweep=sweep, batch_size=size, failure=failure, recorded_at=sweep.created_at
                    )
                )
            return
        repository.record_all([self._attempt(sweep, plan, age, size) for size in plan.sizes])
        if plan is MAIN and age in (0, UPGRADE):
            for size in plan.sizes:
                repository.record(self._compilation(sweep, size, self._environment(plan, age), age))

    def _attempt(self, sweep: SweepRecord, plan: Plan, age: int, size: int) -> MeasurementRecord:
        values = {
            "sweep": sweep,
            "batch_size": size,
            "attempt": 1,
            "recorded_at": sweep.created_at + timedelta(minutes=size),
        }
        if plan is DOUBTFUL and age == 0 and size == 8:
            failure = Failure(
                stage="measure",
                kind="timeout",
                message="No end within 600 s.",
                log_tail=("loading replica 7", "loading replica 8"),
            )
            return MeasurementRecord(**values, failure=failure)
        checks = (LITTLE, STEAL, DRIFT) if plan is DOUBTFUL and age == 0 and size == 2 else (LITTLE, STEAL)
        return MeasurementRecord(**values, result=self._measured(sweep, plan, age, size, checks))

    def _environment(self, plan: Plan, age: int) -> Environment:
        environment = CPU if plan.backend == "cpu" else OLD if age > UPGRADE else NEW
        if self.hardware or plan.backend == "cpu":
            return environment
        return environment.model_copy(
            update={
                "hardware": False,
                "device": "Neuron stand-in",
                "fingerprint": environment.fingerprint + "-standin",
            }
        )

    def _measured(
        self, sweep: SweepRecord, plan: Plan, age: int, size: int, checks: Sequence[Check]
    ) -> Measurement:
        workers = WORKERS if plan.backend == "neuron" else 2
        slower = (
            0.91
            if plan is MAIN and size == 4 and age <= UPGRADE
            else 0.88
            if plan is TINY and age <= 8
            else 1.0
        )
        rate = plan.peak_inf_per_s * SHAPE[size] * slower * (1 + self._random.gauss(0, 0.004))
        p50_ms = 0.99 * workers * size / rate * 1000
        samples = 12_000
        spread = {"p50_ms": 1.0, "p90_ms": 1.025, "p95_ms": 1.035, "p99_ms": 1.055, "p99_9_ms": 1.3}
        latencies = {name: p50_ms * factor for name, factor in spread.items()}
        around = {name: Interval(low=0.997 * value, high=1.004 * value) for name, value in latencies.items()}
        duration_s = samples * size / rate
        rounds = tuple(self._round(index, size, rate, latencies) for index in range(3))
        rate_per_batch = 1000 * workers / p50_ms
        return Measurement(
            filename=f"model_batch_size_{size}.pt",
            batch_size=size,
            backend=plan.backend,
            precision="bf16" if plan.backend == "neuron" else "fp32",
            replicas=workers,
            workers=workers,
            worker_mode="native",
            processes=1,
            topology="C++ loop: the calls are short.",
            batches=samples,
            inferences=samples * size,
            duration_s=duration_s,
            throughput_inf_per_s=rate,
            throughput_interval=Interval(low=0.994 * rate, high=1.006 * rate),
            latency=LatencySummary(
                samples=samples, mean_ms=workers * size / rate * 1000, max_ms=1.6 * p50_ms, **latencies
            ),
            latency_intervals=LatencyIntervals(**around),
            latency_histogram=self._histogram(p50_ms, samples),
            overhead=HarnessOverhead(
                cost_per_call_ns=420.5,
                service_ms=p50_ms,
                ideal_batches_per_s=rate_per_batch,
                ceiling_batches_per_s=0.995 * rate_per_batch,
            ),
            rounds=rounds,
            checks=tuple(checks),
            load_duration_s=14.2,
            environment=self._environment(plan, age),
            started_at=sweep.created_at + timedelta(minutes=size),
        )

    def _round(self, index: int, size: int, rate: float, latencies: dict[str, float]) -> Round:
        own = rate * (1 + self._random.gauss(0, 0.003))
        summary = LatencySummary(samples=4000, mean_ms=latencies["p50_ms"] * 1.01, **latencies)
        return Round(
            index=index, batches=4000, inferences=4000 * size, duration_s=4000 * size / own,
            throughput_inf_per_s=own, latency=summary,
        )  # fmt: skip

    def _histogram(self, p50_ms: float, samples: int) -> LatencyHistogram:
        drawn = (p50_ms * math.exp(self._random.gauss(0, 0.03)) for _ in range(400))
        counts = Counter(math.ceil(math.log(value, BUCKET_GROWTH)) for value in drawn)
        buckets = sorted(counts)
        return LatencyHistogram(
            buckets=tuple(buckets), batches=tuple(counts[each] * samples // 400 for each in buckets)
        )

    def _compilation(
        self, sweep: SweepRecord, size: int, environment: Environment, age: int
    ) -> CompilationRecord:
        artifact = ArtifactRef(
            key=f"{size:02d}" * 32,
            filename=f"model_batch_size_{size}.pt",
            sha256="b" * 64,
            size_bytes=220_000_000 + size * 1_000_000,
        )
        result = CompileResult(
            batch_size=size, backend="neuron", precision="bf16", artifact=artifact, cache_hit=age != UPGRADE,
            compile_duration_s=95.0 + 4 * size, peak_rss_bytes=4_100_000_000, environment=environment,
        )  # fmt: skip
        return CompilationRecord(sweep=sweep, batch_size=size, result=result, recorded_at=sweep.created_at)

    def _judge(self, engine: Engine) -> None:
        main = [self.sweep(MAIN, age).sweep_id for age in (UPGRADE + 1, UPGRADE)]
        tiny = [self.sweep(TINY, age).sweep_id for age in (9, 8)]
        with engine.begin() as connection:
            for sweep_ids, size, values in self._shifts(main, tiny):
                series_id = judgements.series_of(connection, sweep_ids[1], batch_size=size)
                judgements.add_change(
                    connection, *sweep_ids, series_id=series_id, detected_at=datetime.now(UTC), **values
                )
            (_, of_tiny) = (1, 2)
            judgements.annotate(
                connection,
                change_id=of_tiny,
                status="acknowledged",
                author="Ana",
                reason="The laptop was on battery; asking.",
            )

    def _shifts(self, main: Any, tiny: Any) -> Iterator[tuple[Any, int, dict[str, Any]]]:
        rate = MAIN.peak_inf_per_s
        yield (
            main,
            4,
            {
                "before_value": rate,
                "after_value": 0.91 * rate,
                "relative_low": -0.098,
                "relative_high": -0.082,
            },
        )
        before = TINY.peak_inf_per_s * SHAPE[4]
        yield (
            tiny,
            4,
            {
                "before_value": before,
                "after_value": 0.88 * before,
                "relative_low": -0.131,
                "relative_high": -0.109,
            },
        )
