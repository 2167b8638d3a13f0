"""Two nights on inf2.xlarge whose measurements say how they were driven; figures that one can check by hand.

| scenario | batch size | night 0                  | night 1       | the harness                          |
|----------|------------|--------------------------|---------------|--------------------------------------|
| offline  | 1          | 500 inf/s, no interval   | the same      | costs 2 % of the latency, shows 90 % |
| offline  | 2          | 900 +- 20                | the same      | costs 0.1 %, shows 99 %              |
| offline  | 4          | 1000 +- 10               | the same      | as above                             |
| offline  | 8          | 985 +- 10                | 1002 +- 10    | as above                             |
| server   | 4          | 200 batches/s, P99 18 ms | 210, 19 ms    | a search for P99 within 20 ms        |
| server   | 4          | 150 batches/s, P99 14 ms | the same      | the rate was given                   |
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine

from benchlib.records import SweepRecord, sweep_id_of
from benchlib.results import HarnessOverhead, Interval, Measurement, ServerFigures, ServerTrial
from benchlib.spec import LoadSpec
from benchlib.store.repository import Repository
from tests.store import fleet, samples

SIZES = (1, 2, 4, 8)
UNTIL = fleet.night_of(1)
TOPOLOGY = "Python threads of one process, as asked"


def offline(night: int) -> SweepRecord:
    """Two replicas, all sizes."""
    return fleet.sweep(night, 2, SIZES)


def server(night: int, **load: Any) -> SweepRecord:
    """Random arrivals at batch size 4."""
    asked = LoadSpec(replicas=2, **load)
    spec = fleet.sweep(night, 2, (4,)).spec.model_copy(update={"scenario": "server", "load": asked})
    run_id = f"server-{load}-{night}"
    sweep_id = sweep_id_of("inf2_batch_sweep", run_id)
    return fleet.sweep(night, 2, (4,), spec=spec, run_id=run_id, sweep_id=sweep_id)


def saturated(night: int, batch_size: int, rate: float, half: float | None, p99_ms: float) -> Measurement:
    """``rate`` inferences a second, give or take ``half``."""
    service_ms = 2 * batch_size / rate * 1000
    cost, shown = (0.02, 0.9) if batch_size == 1 else (0.001, 0.99)
    ideal_batches_per_s = rate / batch_size
    overhead = HarnessOverhead(
        cost_per_call_ns=cost * service_ms * 1e6,
        service_ms=service_ms,
        ideal_batches_per_s=ideal_batches_per_s,
        ceiling_batches_per_s=shown * ideal_batches_per_s,
    )
    interval = None if half is None else Interval(low=rate - half, high=rate + half)
    return fleet.measured(
        offline(night), batch_size, rate, p99_ms,
        throughput_interval=interval, overhead=overhead, processes=1, topology=TOPOLOGY,
    )  # fmt: skip


def arriving(sweep: SweepRecord, rate_per_s: float, p99_ms: float, *trials: ServerTrial) -> Measurement:
    """Batches of 4, ``rate_per_s`` of them a second."""
    figures = ServerFigures(
        target_batches_per_s=rate_per_s,
        arrival_seed=0,
        p99_limit_ms=sweep.spec.load.latency_limit_ms,
        trials=trials,
        service=samples.latency(mean_ms=8.0, p50_ms=8.0, p95_ms=8.5, p99_ms=9.0),
    )
    return fleet.measured(sweep, 4, 4 * rate_per_s, p99_ms, scenario="server", server=figures)


def fill(engine: Engine) -> None:
    """Store both nights."""
    for night, (largest, found, found_p99_ms) in enumerate([(985.0, 200.0, 18.0), (1002.0, 210.0, 19.0)]):
        figures = {
            1: (500.0, None, 4.5),
            2: (900.0, 20.0, 5.0),
            4: (1000.0, 10.0, 9.5),
            8: (largest, 10.0, 18.0),
        }
        results = [
            fleet.attempt(offline(night), size, result=saturated(night, size, *figures[size]))
            for size in SIZES
        ]
        searched, given = server(night, latency_limit_ms=20.0), server(night, target_batches_per_s=150.0)
        trials = (
            ServerTrial(
                target_batches_per_s=250, achieved_batches_per_s=230, samples=900, p99_ms=99, met=False
            ),
            ServerTrial(
                target_batches_per_s=found,
                achieved_batches_per_s=found,
                samples=900,
                p99_ms=found_p99_ms,
                met=True,
            ),
        )
        for sweep, result in (
            (searched, arriving(searched, found, found_p99_ms, *trials)),
            (given, arriving(given, 150.0, 14.0)),
        ):
            results.append(fleet.attempt(sweep, 4, result=result, scenario="server"))
        Repository(engine).record_all(results)
