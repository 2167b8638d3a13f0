"""Python's and the C++ open loop keep the same promises with a TorchScript replica."""

from __future__ import annotations

import numpy as np
import pytest

from benchlib.loadgen.open_loop import OpenLoopRun
from benchlib.loadgen.server_summary import server_summary
from tests import dataplane
from tests.loadgen.test_open_loop import SOON, check_service

pytestmark = pytest.mark.dataplane

IMPORTS = """
import threading
from benchlib.loadgen import LoadOptions, WorkerFailed
from benchlib.loadgen.arrivals import PoissonArrivals
from benchlib.loadgen.open_loop import measure_open_loop, open_loop
from tests.loadgen.scripted import *
from tests.loadgen.scripted_open_loop import *
SOON = np.arange(1, 201) * 1_000_000
"""


def run(code: str):
    """The facts that ``code`` leaves."""
    return dataplane.facts("import numpy as np\n" + IMPORTS + code, dataplane.environment())


@pytest.fixture(params=["python", "native"])
def loop(request: pytest.FixtureRequest) -> str:
    return request.param


def test_each_arrival_is_served_once_and_the_device_agrees(loop: str) -> None:
    rows, calls = run(f"facts = rows(serve('{loop}', 3, SOON)), sorted(calls)")
    served = OpenLoopRun(*np.array(rows), workers=3)
    check_service(served, SOON)
    own = np.array([call for call in calls if call[0] >= served.start_ns.min()])
    assert len(calls) - len(own) >= 3 * 3, "the warm-up came first"
    assert len(own) == 200
    # Each call on the device lies within its stamps, so the k-th start and end of all do too.
    assert (np.sort(served.start_ns) <= np.sort(own[:, 0])).all()
    assert (np.sort(served.end_ns) >= np.sort(own[:, 1])).all()
    assert (own[:, 1] - own[:, 0] >= 1_000_000).all()


def test_a_stall_shows_in_all_that_was_due_meanwhile(loop: str) -> None:
    rows = run(
        "arrivals_ns = PoissonArrivals(400.0, 6, 400).offsets_ns()\n"
        f"facts = rows(serve('{loop}', 1, arrivals_ns, stall_at=100))"
    )
    served = OpenLoopRun(*np.array(rows), workers=1)
    stalled = int(np.argmax(served.end_ns - served.start_ns))
    until_ns = served.end_ns[stalled]
    due_meanwhile = (served.scheduled_ns > served.start_ns[stalled]) & (served.scheduled_ns < until_ns)
    assert due_meanwhile.sum() > 20
    assert (served.start_ns[due_meanwhile] >= until_ns).all()
    # One worker: each call starts after both its schedule and the end of the one before.
    free_ns = np.concatenate([[0], served.end_ns[:-1]])
    assert (served.start_ns >= np.maximum(served.scheduled_ns, free_ns)).all()
    summary = server_summary(served, 1)
    assert summary.total.latency.p99_ms is not None
    assert summary.total.latency.p99_ms > 50
    assert summary.total.latency.max_ms >= summary.service.max_ms >= 100


def test_a_failing_replica_is_named_and_ends_everything(loop: str) -> None:
    worker, cause, threads_left = run(
        "before = threading.active_count()\n"
        "load = lambda index: torch.jit.script(Dying(30 * (index == 2)))\n"
        "try: measure_open_loop(load, EXAMPLE, workers=3, arrivals_ns=np.arange(1, 10**5) * 10**6,\n"
        f"                      options=LoadOptions(loop='{loop}'))\n"
        "except WorkerFailed as failed:\n"
        "    facts = failed.worker, failed.cause, threading.active_count() - before"
    )
    assert (worker, threads_left) == (2, 0)
    assert "NEFF gone" in cause


def test_an_interrupted_run_keeps_what_was_served(loop: str) -> None:
    interrupted, served = run(
        "seen = []\n"
        "far_ns = np.concatenate([SOON, SOON[-1] + np.arange(1, 4) * 3_600_000_000_000])\n"
        f"run = serve('{loop}', 2, far_ns, on_progress=seen.append,\n"
        "            interrupted=lambda: bool(seen) and seen[-1].batches == 200)\n"
        "facts = run.interrupted, len(run.end_ns)"
    )
    assert (interrupted, served) == (True, 200)


def test_one_load_serves_many_schedules(loop: str) -> None:
    served = run(
        f"options = LoadOptions(loop='{loop}')\n"
        "with open_loop(load_scripted, EXAMPLE, workers=2, most_arrivals=200, options=options) as many:\n"
        "    facts = [rows(many.run(arrivals_ns)) for arrivals_ns in (SOON[:50], SOON, SOON[:20])]"
    )
    for rows, n in zip(served, (50, 200, 20), strict=True):
        check_service(OpenLoopRun(*np.array(rows), workers=2), SOON[:n])


def test_native_workers_of_several_processes_share_one_queue() -> None:
    rows = run(
        "options = LoadOptions(loop='native', processes=2)\n"
        "run = measure_open_loop(load_scripted, EXAMPLE, workers=2, arrivals_ns=SOON, options=options)\n"
        "facts = rows(run)"
    )
    check_service(OpenLoopRun(*np.array(rows), workers=2), SOON)
