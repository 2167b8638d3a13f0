"""Which loop and how many processes, decided from what a call costs."""

from __future__ import annotations

import os

import psutil
import pytest

from benchlib.loadgen import LoadOptions, WorkerFailed
from benchlib.loadgen.topology import CallCost, calibrate, choose_topology, decide
from tests.loadgen.devices import Burner, Sleeper, Unloadable

US = 1e3
NOT_SCRIPTED = "the replicas are not TorchScript"


@pytest.mark.parametrize(
    ("workers", "service_us", "cpu_us", "cpus", "processes"),
    [
        pytest.param(12, 939, 15, 64, 1, id="lock busy to 19 %: threads are free"),
        pytest.param(24, 165, 1, 64, 1, id="short calls that hardly take the lock"),
        pytest.param(2, 5000, 15, 64, 1, id="long calls"),
        pytest.param(24, 500, 15, 64, 4, id="lock busy to 72 %: four processes"),
        pytest.param(24, 500, 15, 2, 2, id="no more processes than CPUs"),
        pytest.param(2, 100, 90, 64, 2, id="no more processes than replicas"),
        pytest.param(1, 100, 100, 64, 1, id="one worker never waits for the lock"),
    ],
)
def test_processes_follow_from_the_locks_load(
    workers: int, service_us: float, cpu_us: float, cpus: int, processes: int
) -> None:
    cost = CallCost(service_us * US, cpu_us * US, torchscript=False)
    topology = decide(cost, workers, replicas=workers, cpus=cpus, obstacle=NOT_SCRIPTED)
    assert (topology.loop, topology.processes) == ("python", processes)


def test_the_native_loop_is_preferred_and_needs_one_process() -> None:
    topology = decide(CallCost(500 * US, 40 * US, torchscript=True), 24, 24, 64, obstacle=None)
    assert (topology.loop, topology.processes) == ("native", 1)


def test_the_sentence_has_the_figures_that_decided() -> None:
    cost = CallCost(500 * US, 15 * US, torchscript=True)
    why = decide(cost, 24, 24, 2, obstacle="no C++ compiler: install g++").why
    for figure in (
        "2 processes (4 wanted",
        "2 CPUs",
        "0.500 ms",
        "15 us",
        "24 workers",
        "72%",
        "no C++ compiler",
    ):
        assert figure in why
    assert "0.500 ms" in decide(cost, 24, 24, 2, obstacle=None).why


def test_a_topology_changes_nothing_else_of_the_options() -> None:
    topology = decide(CallCost(500 * US, 15 * US, torchscript=False), 24, 4, 2, obstacle=NOT_SCRIPTED)
    assert topology.apply(LoadOptions(replicas=4)) == LoadOptions(replicas=4, loop="python", processes=2)


def test_calibration_tells_waiting_from_computing_and_leaves_no_process() -> None:
    waiting, computing = (calibrate(load, (), LoadOptions()) for load in (Sleeper(0.002), Burner(0.002)))

    assert waiting.service_ns >= 2e6
    assert computing.cpu_ns >= 2e6
    assert waiting.cpu_ns < waiting.service_ns / 2
    assert not waiting.torchscript
    assert psutil.Process().children() == []


def test_calls_that_hold_the_lock_are_spread_over_the_cpus() -> None:
    topology = choose_topology(Burner(0.001), (), workers=4, options=LoadOptions(replicas=2))
    assert topology.processes == min(2, len(os.sched_getaffinity(0)))
    assert NOT_SCRIPTED in topology.why


def test_a_replica_that_cannot_be_loaded_is_named() -> None:
    with pytest.raises(WorkerFailed, match="replica 0 failed: OSError: no core 0"):
        choose_topology(Unloadable(), (), workers=2)
    assert psutil.Process().children() == []
