"""The C++ loop keeps the same promises as the Python one (test_measure.py)."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from tests import dataplane

pytestmark = pytest.mark.dataplane

BUILD_FAILURES = [
    ("/nonexistent/g++ -O3", "no C++ compiler: CXX names /nonexistent/g++, which cannot be run"),
    ("false", "native.cpp did not build: false exited with status 1"),
]


IMPORTS = """
from benchlib.loadgen import *
from benchlib.loadgen.ceiling import measure_overhead
from benchlib.loadgen.native import NativeUnavailable, load_extension
from benchlib.loadgen.topology import choose_topology
from tests.loadgen.scripted import *
"""


def run(code: str, **variables: str):
    """The facts that ``code`` leaves."""
    return dataplane.facts(IMPORTS + code, dataplane.environment(**variables))


def test_stamps_agree_with_the_devices_own_log() -> None:
    stamps, calls = run(
        "stamps = measure(recording(0.001, 0.001, 0.001), EXAMPLE, workers=3, batches_per_worker=20,\n"
        "                 warmup_batches=5, stop=FixedRounds(2), options=NATIVE).stamps\n"
        "facts = stamps.ns.tolist(), calls"
    )
    assert np.shape(stamps) == (2, 3, 20 + 1)
    for worker, row in enumerate(np.concatenate([stamps[0], np.array(stamps[1])[:, 1:]], axis=1)):
        ends = np.array([end for replica, end in calls if replica == worker])
        first = np.searchsorted(ends, row[0])
        assert first >= 5
        assert (row[1:] >= ends[first : first + 40]).all()
        assert (row[1:-1] < ends[first + 1 : first + 40]).all()


def test_every_measured_batch_runs_beside_a_full_load() -> None:
    stamps, calls = run(
        "stamps = measure(recording(0.001, 0.004), EXAMPLE, workers=2, batches_per_worker=30,\n"
        "                 warmup_batches=3, options=NATIVE).stamps\n"
        "facts = stamps.ns.tolist(), calls"
    )
    ns = np.array(stamps)[0]
    for worker in (0, 1):
        ends = [end for replica, end in calls if replica == worker]
        assert min(ends) <= ns[:, 0].min(), "a worker began to measure before this one was warm"
    fast = [end for replica, end in calls if replica == 0]
    assert sum(ns[0, -1] < end for end in fast) > 30, "it keeps the load up for the slower one"


def test_a_failing_replica_is_named_and_ends_everything() -> None:
    worker, replica, cause, threads_left = run(
        "facts = failure(lambda index: torch.jit.script(Dying(30 * (index == 2))))"
    )
    assert (worker, replica, threads_left) == (2, 2, 0)
    assert "NEFF gone" in cause


def test_a_replica_that_is_not_torchscript_is_refused() -> None:
    _worker, _replica, cause, threads_left = run("facts = failure(lambda _: lambda x: x)")
    assert "TorchScript modules only" in cause
    assert threads_left == 0


def test_a_stop_rule_ends_the_run_after_whole_rounds() -> None:
    shape, rounds, measured_s = run(
        "stamps = measure(recording(0.001, 0.001), EXAMPLE, workers=2, batches_per_worker=20,\n"
        "                 stop=Duration(0.3, max_rounds=1000), options=NATIVE).stamps\n"
        "measured_s = (stamps.ns[-1, :, -1] - stamps.ns[0, :, 0]) * 1e-9\n"
        "facts = stamps.ns.shape, stamps.rounds, measured_s.tolist()"
    )
    assert 1 < rounds < 1000
    assert shape == [rounds, 2, 20 + 1]
    assert min(measured_s) >= 0.3
    assert min(measured_s) * (rounds - 1) / rounds < 0.3, "one round less would have been too short"


def test_workers_are_pinned() -> None:
    mine = sorted(os.sched_getaffinity(0))
    last = mine[-1:]
    pinned = run(
        f"options = LoadOptions(loop='native', cpus=[frozenset({last}), frozenset({mine})])\n"
        "measure(recording(0.001, 0.001), EXAMPLE, workers=2, batches_per_worker=5, options=options)\n"
        "facts = cpus"
    )
    assert pinned == {"0": last, "1": mine}


def test_torchscript_replicas_get_the_native_loop_and_its_ceiling() -> None:
    loop, processes, ideal, ceiling, cost_ns = run(
        "topology = choose_topology(load_scripted, EXAMPLE, workers=2)\n"
        "overhead = measure_overhead(0.002, 2, topology.apply(LoadOptions()))\n"
        "facts = (topology.loop, topology.processes, overhead.ideal_batches_per_s,\n"
        "         overhead.ceiling_batches_per_s, overhead.cost_per_call_ns)"
    )
    assert (loop, processes) == ("native", 1)
    assert 0 < ceiling <= ideal == pytest.approx(1000)
    assert cost_ns > 0


@pytest.mark.parametrize(("compiler", "sentence"), BUILD_FAILURES)
def test_without_a_compiler_the_python_loop_does_it_and_says_why(
    compiler: str, sentence: str, tmp_path: Path
) -> None:
    topology, refusals = run(
        "topology = choose_topology(load_scripted, EXAMPLE, workers=2)\n"
        "refusals = []\n"
        "for processes in (1, 2):\n"
        "    options = LoadOptions(loop='native', processes=processes)\n"
        "    try: measure(load_scripted, EXAMPLE, workers=2, options=options)\n"
        "    except NativeUnavailable as why: refusals.append(str(why))\n"
        "facts = (topology.loop, topology.why), refusals",
        CXX=compiler,
        XDG_CACHE_HOME=str(tmp_path),
    )
    assert refusals == [sentence, sentence]
    assert topology[0] == "python"
    assert topology[1].endswith(sentence)
    assert list((tmp_path / "benchlib").iterdir()) == []


def test_what_has_been_built_once_needs_no_compiler() -> None:
    run("load_extension(); facts = 0")
    run(
        "load_extension(); facts = 0",
        CXX="/nonexistent/g++",
    )
