"""Virtual time for the workers of an open loop, and the queue that they should make."""

from __future__ import annotations

import heapq
import threading
import time
from dataclasses import dataclass, field

import numpy as np
import pytest
from numpy.typing import NDArray

from benchlib.loadgen import open_loop, serving

POLL_S = 0.0012345
"""Marks the sleep of a worker that waits for the next leg."""


@dataclass
class VirtualTime:
    """A clock that moves only when every worker sleeps, and then to the instant at which the first wakes.

    Stands in for the module ``time`` in the open loop; replicas sleep on it too. A worker that has not slept
    yet holds the time back, so that all are at hand for the first arrival; one that polls after it has served
    its last does not.
    """

    workers: int
    now_ns: int = 1
    _due_ns: dict[int, int] = field(default_factory=dict)
    _gone: set[int] = field(default_factory=set)
    _seen: set[int] = field(default_factory=set)
    _moved: threading.Condition = field(default_factory=threading.Condition)

    def perf_counter_ns(self) -> int:
        return self.now_ns

    def perf_counter(self) -> float:
        return self.now_ns * 1e-9

    def monotonic(self) -> float:
        return self.now_ns * 1e-9

    def sleep(self, duration_s: float) -> None:
        me = threading.get_ident()
        with self._moved:
            if duration_s != POLL_S:
                self._seen.add(me)
                self._due_ns[me] = self.now_ns + max(1, round(duration_s * 1e9))
            elif me in self._seen:
                self._gone.add(me)
            self._move()
            while me in self._due_ns and self._due_ns[me] > self.now_ns:
                assert self._moved.wait(30), "a worker never came"
            self._due_ns.pop(me, None)
        if duration_s == POLL_S:
            time.sleep(0.0005)

    def _move(self) -> None:
        if self._due_ns and len(self._due_ns) + len(self._gone) == self.workers:
            self.now_ns = max(self.now_ns, min(self._due_ns.values()))
            self._moved.notify_all()

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(open_loop, "time", self)
        monkeypatch.setattr(serving, "time", self)
        monkeypatch.setattr(serving, "LEG_POLL_S", POLL_S)


def starts_of_a_fair_queue(
    scheduled_ns: NDArray[np.int64], service_ns: NDArray[np.int64], workers: int
) -> list[int]:
    """Lindley's recursion for several workers: each arrival goes to the worker that is free first."""
    free_ns = [0] * workers
    starts = []
    for due, service in zip(scheduled_ns.tolist(), service_ns.tolist(), strict=True):
        start = max(due, heapq.heappop(free_ns))
        heapq.heappush(free_ns, start + service)
        starts.append(start)
    return starts


def constant_service(scheduled: NDArray[np.float64], workers: int) -> NDArray[np.float64]:
    """When calls start that all take one unit of time (M/D/c when the arrivals are Poisson).

    Arrivals then depart in order, so that each worker serves every c-th, and Lindley's recursion
    ``start[k] = max(scheduled[k], start[k - 1] + 1)`` has a closed form.
    """
    start = np.empty_like(scheduled)
    for first in range(workers):
        own = scheduled[first::workers]
        k = np.arange(own.size)
        start[first::workers] = k + np.maximum.accumulate(own - k)
    return start
