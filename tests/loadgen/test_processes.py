"""Workers spread over real child processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from benchlib.loadgen import FixedRounds, LoadOptions, WorkerFailed, measure
from tests.loadgen.devices import Dying, Sleeper, Unloadable, ask, thread_limit


def children() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)


def test_workers_of_one_replica_share_a_process_and_all_measure_together() -> None:
    options = LoadOptions(replicas=4, processes=2, probe=ask)
    run = measure(Sleeper(0.002), (), workers=8, batches_per_worker=50, stop=FixedRounds(2), options=options)

    assert {index for index, _pid in run.probes_before.values()} == {0, 1, 2, 3}
    pids = {pid for _index, pid in run.probes_before.values()}
    assert len(pids) == 2
    assert os.getpid() not in pids
    assert run.probes_after == run.probes_before
    ns = run.stamps.ns
    assert ns.shape == (2, 8, 50 + 1)
    assert ns[0, :, 0].max() < ns[-1, :, -1].min(), "all were busy at once"
    assert children() == []


def test_the_thread_limit_reaches_every_child() -> None:
    run = measure(
        Sleeper(), (), workers=2, batches_per_worker=5, options=LoadOptions(processes=2, probe=thread_limit)
    )
    assert run.probes_before == {0: "1", 1: "1"}


@pytest.mark.parametrize(
    ("load", "message"),
    [
        (Dying(victim=1), r"worker 1 on replica 1 failed: RuntimeError: NEFF gone"),
        (Dying(victim=1, how="kill"), r"worker 1 on replica 1 failed: its process was killed by SIGKILL"),
        (Dying(victim=1, at=1), r"worker 1 on replica 1 failed: RuntimeError: NEFF gone"),
        (Unloadable(), r"failed: OSError: no core"),
    ],
)
def test_a_failure_in_a_child_is_named_and_ends_everything(load, message: str) -> None:
    with pytest.raises(WorkerFailed, match=message):
        measure(load, (), workers=3, batches_per_worker=100_000, options=LoadOptions(processes=3, probe=ask))
    assert children() == []


def test_no_child_outlives_a_killed_harness(tmp_path: Path) -> None:
    script = (
        "from benchlib.loadgen import LoadOptions, measure\n"
        "from tests.loadgen.devices import Sleeper\n"
        "measure(Sleeper(), (), workers=2, batches_per_worker=10**6, options=LoadOptions(processes=2))\n"
    )
    root = Path(__file__).parents[2]
    harness = subprocess.Popen(
        [sys.executable, "-c", script], cwd=root, env={**os.environ, "PYTHONPATH": "."}
    )
    try:
        started = wait_for(lambda: two_children_of(harness.pid))
    finally:
        harness.send_signal(signal.SIGKILL)
        harness.wait()
    wait_for(lambda: not [c for c in started if c.is_running() and c.status() != psutil.STATUS_ZOMBIE])


def wait_for(condition, deadline_s: float = 30):
    """The first true answer of ``condition``."""
    end = time.monotonic() + deadline_s
    while not (answer := condition()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)
    return answer


def two_children_of(pid: int) -> list[psutil.Process]:
    found = psutil.Process(pid).children()
    return found if len(found) == 2 else []
