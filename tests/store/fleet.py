"""Ten nights of a small fleet, with figures that one can check by hand and one of everything that goes wrong.

Nights 0 to 4 ran SDK 2.25.0, nights 5 to 9 SDK 2.26.0.

| machine     | replicas | batch size 1, inf/s | batch size 4, inf/s | remarks                            |
|-------------|----------|---------------------|---------------------|------------------------------------|
| inf2.xlarge | 2        | 500, then 510       | 1000, then 900      | the upgrade costs 10 % at size 4   |
| inf2.xlarge | 1        | -                   | 550                 | its P99 rises from 8 ms to 9.6 ms  |
| CPU         | 2        | 100 and 104 in turn | -                   | the noisy one                      |

Two replicas on inf2.xlarge: night 3 needs a second attempt at batch size 4; night 6 is invalid at batch size
1, with a throughput that would be the peak; on night 7 nothing ran; night 8 fails twice at batch size 4.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import Engine

from benchlib.records import CompilationRecord, MeasurementRecord, Record, SweepRecord, sweep_id_of
from benchlib.results import ArtifactRef, Check, CompileResult, Environment, Measurement
from benchlib.spec import LoadSpec, ModelSpec, SweepSpec
from benchlib.store.prices import Price, add_price
from benchlib.store.repository import Repository
from tests.store import judgements, samples

FIRST = date(2026, 2, 2)
NIGHTS = range(10)
UPGRADE = 5
UNTIL = FIRST + timedelta(days=NIGHTS[-1])

BERT, TINY = "bert-base-uncased", "bert-tiny"

OLD = Environment(
    hardware=True,
    device="Inferentia2",
    instance_type="inf2.xlarge",
    cores=2,
    host="host-a",
    kernel="6.8.0-1031-aws",
    python="3.10.12",
    torch="2.7.0",
    torch_neuronx="2.7.0.2.9.9357",
    neuronx_cc="2.20.9961",
    neuron_runtime="2.27.23",
    neuron_driver="2.23.9",
    neuron_sdk="2.25.0",
    fingerprint="old",
)
NEW = OLD.model_copy(
    update={
        "neuronx_cc": "2.21.18209",
        "neuron_runtime": "2.28.23",
        "neuron_sdk": "2.26.0",
        "fingerprint": "new",
    }
)
CPU = Environment(hardware=False, device="Test CPU", cores=2, torch="2.13.0", fingerprint="cpu")
DRIFT = Check(
    name="drift", passed=False, figure=0.31, limit=0.02, unit="", advice="The rounds drift: run again."
)


def night_of(night: int) -> date:
    """The date of a night by its number."""
    return FIRST + timedelta(days=night)


def began(night: int, hour: int) -> datetime:
    """When a sweep of that night began."""
    return datetime.combine(night_of(night), datetime.min.time(), UTC) + timedelta(hours=hour)


def sweep(night: int, replicas: int, batch_sizes: tuple[int, ...], **changes: Any) -> SweepRecord:
    """A sweep of the nightly DAG, on the CPU unless its model is the large one."""
    backend = changes.pop("backend", "neuron")
    spec = SweepSpec(
        model=ModelSpec(name=TINY if backend == "cpu" else BERT),
        batch_sizes=batch_sizes,
        backend=backend,
        load=LoadSpec(replicas=replicas),
        label=f"{backend} {replicas}",
    )
    run_id = f"{backend}-{replicas}-{night}"
    values = {
        "sweep_id": sweep_id_of("inf2_batch_sweep", run_id),
        "dag_id": "inf2_batch_sweep",
        "run_id": run_id,
        "spec": spec,
        "created_at": began(night, replicas),
    }
    return SweepRecord(**{**values, **changes})


def wide(night: int) -> SweepRecord:
    """Two replicas on inf2.xlarge, batch sizes 1 and 4."""
    return sweep(night, 2, (1, 4))


def narrow(night: int) -> SweepRecord:
    """One replica on inf2.xlarge, batch size 4."""
    return sweep(night, 1, (4,))


def on_cpu(night: int) -> SweepRecord:
    """Two replicas on the CPU, batch size 1."""
    return sweep(night, 2, (1,), backend="cpu")


def measured(sweep: SweepRecord, batch_size: int, rate: float, p99_ms: float, **changes: Any) -> Measurement:
    """``rate`` inferences a second; the median follows from Little's law."""
    replicas = sweep.spec.load.replicas
    assert isinstance(replicas, int)
    p50_ms = replicas * batch_size / rate * 1000
    values = {
        "backend": sweep.spec.backend,
        "precision": "bf16",
        "replicas": replicas,
        "workers": replicas,
        "latency": samples.latency(
            mean_ms=p50_ms, p50_ms=p50_ms, p95_ms=(p50_ms + p99_ms) / 2, p99_ms=p99_ms
        ),
        "rounds": (),
        "environment": OLD,
        "started_at": sweep.created_at,
    }
    return samples.measured(batch_size, rate, **{**values, **changes})


def attempt(sweep: SweepRecord, batch_size: int, number: int = 1, **outcome: Any) -> MeasurementRecord:
    """An attempt with a result or a failure."""
    return MeasurementRecord(
        sweep=sweep,
        batch_size=batch_size,
        attempt=number,
        recorded_at=sweep.created_at + timedelta(minutes=batch_size, seconds=number),
        **outcome,
    )


def records() -> Iterator[Record]:
    """All of it, in order of time."""
    for night in NIGHTS:
        yield from _wide_records(night)
        yield from _narrow_records(night)
        rate = 100.0 if night % 2 == 0 else 104.0
        cpu = measured(on_cpu(night), 1, rate, 24.0, environment=CPU, precision="fp32")
        yield attempt(on_cpu(night), 1, result=cpu)
    yield attempt(_imported(), 4, result=measured(_imported(), 4, 5000.0, 2.0, replicas=2, workers=2))


def _wide_records(night: int) -> Iterator[Record]:
    if night == 7:
        return
    sweep, environment = wide(night), OLD if night < UPGRADE else NEW
    yield from (_compilation(sweep, night, batch_size, environment) for batch_size in (1, 4))
    small = measured(sweep, 1, 500.0 if night < UPGRADE else 510.0, 4.5, environment=environment)
    if night == 6:
        small = measured(sweep, 1, 9000.0, 4.5, environment=environment, checks=(samples.LITTLE, DRIFT))
    yield attempt(sweep, 1, result=small)
    large = measured(sweep, 4, 1000.0 if night < UPGRADE else 900.0, 9.5, environment=environment)
    if night == 3:
        yield attempt(sweep, 4, failure=samples.failure("Core 1 of 2 crashed."))
        yield attempt(sweep, 4, number=2, result=large)
    elif night == 8:
        yield attempt(sweep, 4, failure=samples.failure("Core 0 of 2 crashed."))
        yield attempt(sweep, 4, number=2, failure=samples.failure("No end within 600 s.", kind="timeout"))
    else:
        yield attempt(sweep, 4, result=large)


def _narrow_records(night: int) -> Iterator[Record]:
    environment = OLD if night < UPGRADE else NEW
    p99_ms = 8.0 if night < UPGRADE else 9.6
    yield attempt(narrow(night), 4, result=measured(narrow(night), 4, 550.0, p99_ms, environment=environment))


def _compilation(sweep: SweepRecord, night: int, batch_size: int, environment: Environment) -> Record:
    after = night >= UPGRADE
    artifact = ArtifactRef(
        key=f"{batch_size}{after:d}" * 32,
        filename=f"model_batch_size_{batch_size}.pt",
        sha256="b" * 64,
        size_bytes=(110_000_000 if after else 100_000_000) + batch_size * 1_000_000,
    )
    result = CompileResult(
        batch_size=batch_size,
        backend="neuron",
        precision="bf16",
        artifact=artifact,
        cache_hit=night not in (0, UPGRADE),
        compile_duration_s=(90.0 if after else 60.0) + batch_size,
        peak_rss_bytes=4_000_000_000,
        environment=environment,
    )
    return CompilationRecord(
        sweep=sweep,
        batch_size=batch_size,
        result=result,
        recorded_at=sweep.created_at + timedelta(seconds=30),
    )


def _imported() -> SweepRecord:
    """Somebody else's figures for what two replicas do here, dated between two of our nights."""
    sweep_id = sweep_id_of("import", "elsewhere")
    return sweep(2, 2, (4,), sweep_id=sweep_id, dag_id="import", run_id="elsewhere", origin="import")


def fill(engine: Engine) -> None:
    """Store the fleet, a price that rises on night 6, two changes and what was said about them."""
    for record in records():
        Repository(engine).record(record)
    price = {"instance_type": "inf2.xlarge", "valid_from": night_of(6), "source": "A price list of that day."}
    add_price(engine, Price.model_validate({**price, "usd_per_hour": "0.9"}))
    with engine.begin() as connection:
        good, bad = wide(UPGRADE - 1).sweep_id, wide(UPGRADE).sweep_id
        slower = judgements.add_change(
            connection,
            good,
            bad,
            series_id=judgements.series_of(connection, bad, batch_size=4),
            after_value=900.0,
            relative_low=-0.12,
            relative_high=-0.08,
        )
        faster = judgements.add_change(
            connection,
            good,
            bad,
            before_value=500.0,
            after_value=510.0,
            relative_low=0.01,
            relative_high=0.03,
        )
        judgements.annotate(connection, change_id=slower, status="acknowledged")
        judgements.annotate(connection, change_id=faster, status="expected", reason="The notes say so.")
