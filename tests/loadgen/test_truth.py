"""What a measurement must never get wrong, whatever the replicas and the surroundings do."""

from __future__ import annotations

import multiprocessing
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
import psutil
import pytest

from benchlib.loadgen import FixedRounds, LoadOptions, WorkerFailed, measure, summarise
from benchlib.loadgen.board import DONE
from benchlib.loadgen.processes import ProcessCrew
from tests.loadgen.devices import Sleeper, VirtualTime, no_python, send_two_process_run
from tests.loadgen.test_processes import children, two_children_of, wait_for

ROOT = Path(__file__).parents[2]


@dataclass
class TwoValued(VirtualTime):
    """Mostly 1 ms, sometimes 8 ms; keeps its own log."""

    ends_ns: dict[int, list[int]] = field(default_factory=dict)

    def load(self, index: int):
        rng = np.random.default_rng(index)
        ends_ns = self.ends_ns.setdefault(index, [])

        def replica() -> None:
            usual = rng.random() < 0.97
            ends_ns.append(self.advance(int(1e6 * (rng.normal(1, 0.02) if usual else rng.normal(8, 1)))))

        return replica


@pytest.mark.parametrize("stable", [False, True])
def test_percentiles_are_those_of_the_devices_own_log(stable: bool) -> None:
    device = TwoValued()
    with device.rules():
        run = measure(device.load, (), workers=3, batches_per_worker=1300, warmup_batches=7, stable=stable)
    stamps = run.stamps

    measured_ns: list[int] = []
    for row, ends_ns in zip(stamps.ns[0].tolist(), device.ends_ns.values(), strict=True):
        start = ends_ns.index(row[0])
        assert start >= 7 - 1, "the warm-up came first, and was handed over without a gap"
        assert row == ends_ns[start : start + 1301]
        measured_ns += [end - begin for begin, end in pairwise(row)]
    latency = summarise(stamps, 1).total.latency
    percentiles_ms = [ns / 1e6 for ns in statistics.quantiles(measured_ns, n=1000, method="inclusive")]
    assert [
        latency.p50_ms,
        latency.p90_ms,
        latency.p95_ms,
        latency.p99_ms,
        latency.p99_9_ms,
    ] == pytest.approx([percentiles_ms[i - 1] for i in (500, 900, 950, 990, 999)])
    assert latency.max_ms == max(measured_ns) / 1e6
    assert latency.mean_ms == pytest.approx(statistics.mean(measured_ns) / 1e6)


@dataclass
class OneAtHalfSpeed(VirtualTime):
    """Replica 2 takes 2 ms, the others 1 ms."""

    def load(self, index: int):
        return lambda: self.advance(2_000_000 if index == 2 else 1_000_000)


def test_one_replica_at_half_speed_costs_half_of_its_share_and_is_seen() -> None:
    device = OneAtHalfSpeed()
    with device.rules():
        stamps = measure(device.load, (), workers=4, batches_per_worker=60, stop=FixedRounds(2)).stamps
    summary = summarise(stamps, batch_size=4)

    assert summary.total.throughput_inf_per_s == pytest.approx(4 * (3 * 1000 + 500))
    assert summary.worker_batches_per_s == pytest.approx((1000, 1000, 500, 1000))


def test_a_replica_that_dies_while_others_still_measure_fails_the_run() -> None:
    measured = threading.Event()

    def load(index: int):
        calls = [0]

        def fast() -> None:
            calls[0] += 1
            time.sleep(0.001)
            if calls[0] > 60:  # its own 20 are long done: it only keeps the load up
                measured.set()
                raise RuntimeError("NEFF gone")

        def slow() -> None:
            time.sleep(0 if measured.is_set() else 0.02)

        return fast if index == 0 else slow

    with pytest.raises(WorkerFailed, match="replica 0 failed: RuntimeError: NEFF gone"):
        measure(load, (), workers=2, batches_per_worker=20, warmup_batches=1)


@pytest.mark.parametrize(("replicas", "at_once"), [(4, 1), (2, 2)])
def test_a_replica_never_sees_more_calls_at_once_than_it_has_workers(replicas: int, at_once: int) -> None:
    lock = threading.Lock()
    most = [0] * replicas

    def load(index: int):
        inside = [0]

        def replica() -> None:
            with lock:
                inside[0] += 1
                most[index] = max(most[index], inside[0])
            time.sleep(0.002)
            with lock:
                inside[0] -= 1

        return replica

    measure(load, (), workers=4, batches_per_worker=40, options=LoadOptions(replicas=replicas))
    assert most == [at_once] * replicas


@pytest.fixture
def harness() -> Iterator[subprocess.Popen[str]]:
    """A run over two processes in a session of its own, at work."""
    script = (
        "import signal\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from benchlib.loadgen import LoadOptions, measure\n"
        "from tests.loadgen.devices import Sleeper\n"
        "measure(Sleeper(), (), workers=2, batches_per_worker=10**6, options=LoadOptions(processes=2),\n"
        "        on_progress=lambda progress: print('measuring', flush=True))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout
    assert process.stdout.readline() == "measuring\n"
    yield process
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # children that should be gone included
    process.communicate()


def test_a_terminated_harness_leaves_no_process(harness: subprocess.Popen[str]) -> None:
    started = two_children_of(harness.pid)
    assert len(started) == 2
    harness.terminate()
    assert harness.wait(30) == -signal.SIGTERM
    wait_for(lambda: not any(is_alive(child) for child in started))


def test_ctrl_c_ends_everybody_with_one_traceback(harness: subprocess.Popen[str]) -> None:
    started = two_children_of(harness.pid)
    assert len(started) == 2
    os.killpg(harness.pid, signal.SIGINT)  # a terminal sends it to the whole group
    _out, errors = harness.communicate(timeout=30)
    assert not any(is_alive(child) for child in started)
    assert errors.count("Traceback") == 1
    assert errors.rstrip().endswith("KeyboardInterrupt")


def is_alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def test_a_daemonic_process_can_measure_with_several_processes() -> None:
    fork = multiprocessing.get_context("fork")  # as Celery's pool does
    ours, theirs = fork.Pipe()
    daemon = fork.Process(target=send_two_process_run, args=(theirs,), daemon=True)
    daemon.start()
    theirs.close()
    shape, pids = ours.recv()
    daemon.join(60)
    assert daemon.exitcode == 0
    assert shape == (1, 4, 11)
    assert len(set(pids)) == 2
    assert daemon.pid not in pids


def test_a_child_that_cannot_start_is_reported(capfd: pytest.CaptureFixture[str]) -> None:
    more_than_a_pipe_holds = bytes(10**6)
    options = LoadOptions(processes=2, process_env=no_python)
    with pytest.raises(WorkerFailed, match="worker 0 on replica 0 failed: its process exited with status 1"):
        measure(Sleeper(), (more_than_a_pipe_holds,), workers=2, batches_per_worker=5, options=options)
    assert children() == []
    assert "No module named 'encodings'" in capfd.readouterr().err, "the interpreter's own words are kept"


def test_a_child_that_has_finished_is_not_taken_for_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    check = ProcessCrew.check

    def late_check(crew: ProcessCrew) -> None:
        if crew.board.ready.all():  # look only when the children are long gone
            wait_for(lambda: crew.board.header[DONE])
            for child in crew._children:
                child.wait()
        check(crew)

    monkeypatch.setattr(ProcessCrew, "check", late_check)
    run = measure(Sleeper(), (), workers=2, batches_per_worker=30, options=LoadOptions(processes=2))
    assert run.stamps.ns.shape == (1, 2, 31)


@pytest.mark.parametrize("processes", [1, 2])
def test_a_run_gives_back_all_descriptors(processes: int) -> None:
    descriptors = Path("/proc/self/fd")
    before = len(list(descriptors.iterdir()))
    measure(Sleeper(), (), workers=2, batches_per_worker=5, options=LoadOptions(processes=processes))
    assert len(list(descriptors.iterdir())) == before
