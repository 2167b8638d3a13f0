"""Which loop, and how many processes: chosen from what a call costs, not by hand.

Threads of one process share the interpreter's lock. They are as fast as the device allows while the lock is
mostly free; long before it is busy all the time, handing it over costs more than the work under it.
"""

from __future__ import annotations

import math
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Literal

from benchlib.loadgen.board import Board, BoardShape
from benchlib.loadgen.job import LoadJob, LoadOptions, Replica
from benchlib.loadgen.native import NativeUnavailable, is_torchscript, load_extension
from benchlib.loadgen.processes import ProcessCrew

FREE_LOCK_SHARE = 0.2
"""Share of the time up to which a busy interpreter's lock costs no throughput (docs/decisions.md)."""

CALIBRATION_S = 0.3
WARMUP_CALLS = 3
MIN_CALLS = 3


@dataclass(frozen=True)
class CallCost:
    """What one call takes when nothing else runs."""

    service_ns: float
    """Median time of a call."""
    cpu_ns: float
    """The calling thread's CPU per call: no less than the time it holds the interpreter's lock."""
    torchscript: bool

    def lock_share(self, workers: int) -> float:
        """The share of the time in which so many workers would hold one lock, at most."""
        return workers * self.cpu_ns / self.service_ns


@dataclass(frozen=True)
class Topology:
    """What issues the calls, and why."""

    loop: Literal["python", "native"]
    processes: int
    why: str
    """One sentence with the figures that decided."""
    cost: CallCost | None = None
    """Of one call alone; ``None``: not measured."""

    def apply(self, options: LoadOptions) -> LoadOptions:
        """These options with this topology."""
        return replace(options, loop=self.loop, processes=self.processes)


def choose_topology(
    load: Callable[[int], Replica],
    example: tuple[Any, ...],
    *,
    workers: int,
    options: LoadOptions = LoadOptions(),  # noqa: B008 - frozen
) -> Topology:
    """Time a few calls on the spot and decide; ``load`` and ``options`` as for `measure`, and picklable.

    Raises:
        WorkerFailed: the replica could not be loaded or called.
    """
    cost = calibrate(load, example, options)
    replicas = LoadJob(load, example, workers, 1, options).replicas
    cpus = len(os.sched_getaffinity(0))
    return decide(cost, workers, replicas, cpus, obstacle=_native_obstacle(cost))


def decide(cost: CallCost, workers: int, replicas: int, cpus: int, obstacle: str | None) -> Topology:
    """The topology for calls of this cost.

    The native loop where it can be had, for it never takes the lock. Else as many processes as bring each
    one's lock down to `FREE_LOCK_SHARE`, at most one per CPU and per replica.

    Args:
        cost: of one call.
        workers: closed loops in all.
        replicas: loaded copies; all workers of one share a process.
        cpus: CPUs that the processes may use.
        obstacle: why the native loop cannot be had; ``None``: it can.
    """
    call = f"a call takes {cost.service_ns / 1e6:.3f} ms, {cost.cpu_ns / 1e3:.0f} us of it CPU"
    if obstacle is None:
        why = f"C++ loop without the interpreter's lock: TorchScript replicas; {call}"
        return Topology("native", 1, why, cost)
    share = cost.lock_share(workers)
    wanted = max(1, math.ceil(share / FREE_LOCK_SHARE))
    processes = min(wanted, cpus, replicas)
    held = f"so {workers} workers would hold one interpreter's lock up to {share:.0%} of the time"
    spread = f"Python threads in {processes} process{'es' * (processes > 1)}"
    if processes < wanted:
        spread += f" ({wanted} wanted, but there are {cpus} CPUs and {replicas} replicas)"
    return Topology("python", processes, f"{spread}: {call}, {held}; no C++ loop: {obstacle}", cost)


def calibrate(load: Callable[[int], Replica], example: tuple[Any, ...], options: LoadOptions) -> CallCost:
    """What a call of one replica costs, from a child process that ends with it.

    One replica alone, because under load a busy lock would lengthen the very service time that it is judged
    by; a process of its own, because one that has touched an accelerator keeps its cores until it exits.

    Raises:
        WorkerFailed: the replica could not be loaded or called.
    """
    alone = replace(options, replicas=1, processes=1, loop="python", cpus=None, probe=time_calls)
    board = Board.create(BoardShape(1, 1))
    crew = ProcessCrew(LoadJob(load, example, 1, 1, alone), board)
    try:
        crew.load()
        cost: CallCost = crew.probe()[0]
        return cost
    finally:
        board.stop()
        crew.close()
        board.close()


def time_calls(replica: Replica, example: tuple[Any, ...]) -> CallCost:
    """Call the replica for `CALIBRATION_S`, at least `MIN_CALLS` times."""
    for _ in range(WARMUP_CALLS):
        replica(*example)
    ends_ns = [time.perf_counter_ns()]
    cpu_ns = -time.thread_time_ns()
    while len(ends_ns) <= MIN_CALLS or ends_ns[-1] - ends_ns[0] < CALIBRATION_S * 1e9:
        replica(*example)
        ends_ns.append(time.perf_counter_ns())
    cpu_ns += time.thread_time_ns()
    calls_ns = [end - start for start, end in pairwise(ends_ns)]
    return CallCost(statistics.median(calls_ns), cpu_ns / len(calls_ns), is_torchscript(replica))


def _native_obstacle(cost: CallCost) -> str | None:
    if not cost.torchscript:
        return "the replicas are not TorchScript"
    try:
        load_extension()
    except NativeUnavailable as why:
        return str(why)
    return None
