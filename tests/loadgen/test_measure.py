"""The load generator against devices whose behaviour is known exactly."""

from __future__ import annotations

import os
import threading
import time
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from benchlib.errors import BadInput
from benchlib.loadgen import (
    Duration,
    FixedRounds,
    LoadOptions,
    LoadProgress,
    Precision,
    Stamps,
    WorkerFailed,
    measure,
    summarise,
)
from benchlib.loadgen import stop as stop_rules


class RecordingDevice:
    """A device that keeps its own log: (replica, start, end) of every call, in nanoseconds."""

    def __init__(self, service_s: float | dict[int, float] = 0.001) -> None:
        self.service_s = service_s
        self.calls: list[tuple[int, int, int]] = []

    def load(self, index: int):
        service_s = self.service_s[index] if isinstance(self.service_s, dict) else self.service_s

        def replica(*_inputs: object) -> None:
            start = time.perf_counter_ns()
            time.sleep(service_s)
            self.calls.append((index, start, time.perf_counter_ns()))

        return replica

    def ends_of(self, replica: int) -> list[int]:
        return [end for index, _start, end in self.calls if index == replica]


def test_stamps_agree_with_the_devices_own_log() -> None:
    device = RecordingDevice()
    stamps = measure(
        device.load, (), workers=3, batches_per_worker=20, warmup_batches=5, stop=FixedRounds(2)
    ).stamps

    assert stamps.ns.shape == (2, 3, 20 + 1)
    assert (stamps.ns[0, :, -1] == stamps.ns[1, :, 0]).all(), "the end of a round is the start of the next"
    for worker, row in enumerate(np.concatenate([stamps.ns[0], stamps.ns[1, :, 1:]], axis=1)):
        ends = np.array(device.ends_of(worker))
        # Each stamp follows its own call's end and precedes the next call's end.
        first = np.searchsorted(ends, row[0])
        assert first >= 5
        own = ends[first : first + 40]
        assert (row[1:] >= own).all()
        assert (row[1:-1] < ends[first + 1 : first + 40]).all()


def test_every_measured_batch_runs_beside_a_full_load() -> None:
    device = RecordingDevice({0: 0.001, 1: 0.004})
    stamps = measure(device.load, (), workers=2, batches_per_worker=30, warmup_batches=3).stamps

    for replica in (0, 1):
        ends = device.ends_of(replica)
        assert min(ends) <= stamps.ns[..., 0].min(), "a worker began to measure before this one was warm"
        assert max(ends) >= stamps.ns[0, 1, -3], "stopped while the slower one was still measuring"


def test_rate_with_one_slow_replica_is_the_rate_while_all_were_busy() -> None:
    device = RecordingDevice({0: 0.002, 1: 0.002, 2: 0.002, 3: 0.008})
    stamps = measure(device.load, (), workers=4, batches_per_worker=50).stamps
    summary = summarise(stamps, batch_size=1)

    begin, end = stamps.ns[0, :, 0].max(), stamps.ns[0, :, -1].min()
    while_all_busy = sum(begin < e <= end for _r, _s, e in device.calls) / ((end - begin) * 1e-9)
    assert summary.total.throughput_inf_per_s == pytest.approx(while_all_busy, rel=0.1)
    # A fixed count over the wall clock would report about half of it.
    wall_s = (stamps.ns.max() - stamps.ns.min()) * 1e-9
    assert summary.total.throughput_inf_per_s > 1.4 * summary.total.batches / wall_s


def test_slow_first_calls_stay_out_of_the_figures() -> None:
    calls = threading.local()

    def load(_index: int):
        def replica() -> None:
            calls.seen = getattr(calls, "seen", 0) + 1
            time.sleep(0.4 if calls.seen <= 4 else 0.001)

        return replica

    summary = summarise(measure(load, (), workers=2, batches_per_worker=40, warmup_batches=4).stamps, 1)
    assert summary.total.latency.max_ms is not None
    assert summary.total.latency.max_ms < 390


def test_a_replica_that_dies_fails_the_run_and_is_named() -> None:
    def load(index: int):
        def replica(countdown: list[int] = [30]) -> None:  # noqa: B006 - one counter per replica is meant
            if index == 2:
                countdown[0] -= 1
                if countdown[0] < 0:
                    raise RuntimeError("status=5 message=Timeout Exceeded")
            time.sleep(0.0005)

        return replica

    before = threading.active_count()
    with pytest.raises(WorkerFailed, match=r"worker 2 on replica 2 .* status=5") as failure:
        measure(load, (), workers=4, batches_per_worker=1000)
    assert isinstance(failure.value.__cause__, RuntimeError)
    assert "in replica" in failure.value.worker_traceback
    assert threading.active_count() == before, "the other workers must have been stopped"


def test_a_worker_that_cannot_start_fails_the_run() -> None:
    @contextmanager
    def broken():
        raise RuntimeError("no inference mode")
        yield

    with pytest.raises(WorkerFailed, match="no inference mode"):
        measure(
            RecordingDevice().load,
            (),
            workers=2,
            batches_per_worker=5,
            options=LoadOptions(worker_context=broken),
        )


def test_workers_share_replicas_evenly() -> None:
    device = RecordingDevice()
    loaded: list[int] = []

    def load(index: int):
        loaded.append(index)
        return device.load(index)

    measure(load, (), workers=4, batches_per_worker=10, options=LoadOptions(replicas=2))
    assert loaded == [0, 1]
    per_replica = [len(device.ends_of(replica)) for replica in (0, 1)]
    assert min(per_replica) >= 2 * 10


def test_workers_are_pinned() -> None:
    seen: dict[int, set[int]] = {}

    def load(index: int):
        def replica() -> None:
            seen[index] = os.sched_getaffinity(threading.get_native_id())
            time.sleep(0.0005)

        return replica

    mine = os.sched_getaffinity(0)
    first = frozenset({min(mine)})
    measure(load, (), workers=2, batches_per_worker=5, options=LoadOptions(cpus=[first, first]))
    assert seen == {0: set(first), 1: set(first)}
    assert os.sched_getaffinity(0) == mine


def test_progress_reports_the_running_rate() -> None:
    reports: list[LoadProgress] = []
    run = measure(
        RecordingDevice(0.01).load, (), workers=2, batches_per_worker=60, on_progress=reports.append
    )

    assert reports[-1].batches == reports[-1].of_batches == 120
    assert reports[0].batches < 120
    summary = summarise(run.stamps, 1)
    assert reports[-1].batches_per_s == pytest.approx(summary.total.throughput_inf_per_s)
    assert reports[-1].measured_s == pytest.approx(run.stamps.measured_s)
    interval = summary.throughput_interval
    assert interval is not None
    half_width = (interval.high - interval.low) / 2 / summary.total.throughput_inf_per_s
    assert reports[-1].relative_half_width == pytest.approx(half_width)


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"workers": 0}, "workers"),
        ({"workers": 2, "options": LoadOptions(replicas=3)}, "replicas"),
        ({"workers": 2, "options": LoadOptions(processes=3)}, "processes"),
        ({"workers": 2, "stop": FixedRounds(0)}, "rounds"),
        ({"workers": 2, "batches_per_worker": 0}, "batches_per_worker"),
        ({"workers": 2, "warmup_batches": 0}, "warmup_batches"),
        ({"workers": 2, "max_warmup_s": 0.0}, "max_warmup_s"),
    ],
)
def test_impossible_counts_are_refused_before_anything_is_loaded(
    settings: dict[str, Any], field: str
) -> None:
    loaded: list[int] = []
    with pytest.raises(BadInput, match=field):
        measure(loaded.append, (), **settings)  # type: ignore[arg-type]
    assert loaded == []


def test_a_run_by_duration_ends_at_the_first_round_past_it() -> None:
    device = RecordingDevice(0.001)
    stamps = measure(device.load, (), workers=2, batches_per_worker=20, stop=Duration(0.3)).stamps

    measured_s = (stamps.ns[-1, :, -1] - stamps.ns[0, :, 0]) * 1e-9
    assert measured_s.min() == pytest.approx(stamps.measured_s)
    assert measured_s.min() >= 0.3
    assert (measured_s - stamps.rounds**-1 * measured_s).min() < 0.3, (
        "one round less would have been too short"
    )


def test_a_run_by_duration_has_the_asked_rounds_however_short_it_is() -> None:
    stop = Duration(1e-9, min_rounds=3, max_rounds=50)
    stamps = measure(RecordingDevice(0.02).load, (), workers=2, batches_per_worker=3, stop=stop).stamps
    assert 3 <= stamps.rounds < 50


def test_where_the_memory_for_stamps_ends_the_run_ends_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stop_rules, "MOST_STAMPS_BYTES", 3 * 2 * 10 * 8)
    run = measure(RecordingDevice().load, (), workers=2, batches_per_worker=10, stop=Duration(1e9))
    assert run.stamps.rounds == 3
    assert not run.satisfied
    assert not run.interrupted


def test_a_run_by_precision_goes_on_until_the_interval_is_narrow() -> None:
    rng = np.random.default_rng(7)

    def load(_index: int):
        pace_s = iter(np.repeat(rng.choice([0.001, 0.002], 4000), 10))
        return lambda: time.sleep(next(pace_s))

    stop = Precision(relative_half_width=0.1, min_rounds=4, max_rounds=200)
    stamps = measure(load, (), workers=2, batches_per_worker=10, stop=stop).stamps

    assert 4 < stamps.rounds < 200
    assert stop.enough(stamps)
    assert not stop.enough(Stamps(stamps.ns[:4])), "four rounds would have told too little"


def test_the_probe_sees_every_replica_before_and_after() -> None:
    calls = [0, 0, 0]

    def load(index: int):
        def replica(step: int) -> int:
            calls[index] += step
            return calls[index]

        return replica

    options = LoadOptions(probe=lambda replica, example: replica(*example))
    run = measure(load, (1,), workers=3, batches_per_worker=10, warmup_batches=1, options=options)
    assert run.probes_before == {0: 1, 1: 1, 2: 1}
    assert all(run.probes_after[i] == calls[i] >= 12 for i in range(3))
