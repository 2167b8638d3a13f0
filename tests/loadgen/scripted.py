"""TorchScript replicas for the native loop; imported by the data plane's interpreter only.

TorchScript wants true annotations: no postponed ones here.
"""

import os
import threading
import time

import torch

from benchlib.loadgen import LoadOptions, WorkerFailed, measure

NATIVE = LoadOptions(loop="native")
EXAMPLE = (torch.zeros(1),)

calls: list[tuple[int, int]] = []
"""The devices' own log: (replica, end in nanoseconds) of every call."""
cpus: dict[int, list[int]] = {}
"""On which CPUs the thread that called a replica may run."""


class Recording(torch.nn.Module):
    """Sleeps, and keeps the log."""

    def __init__(self, index: int, service_s: float) -> None:
        super().__init__()
        self.index = index
        self.service_s = service_s

    @torch.jit.ignore
    def serve(self, x: torch.Tensor) -> torch.Tensor:
        time.sleep(self.service_s)
        cpus[self.index] = sorted(os.sched_getaffinity(threading.get_native_id()))
        calls.append((self.index, time.perf_counter_ns()))
        return x

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.serve(x)


class Dying(torch.nn.Module):
    """Fails at its ``at``-th call; never when 0."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.at = at
        self.calls = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        if self.calls == self.at:
            raise RuntimeError("NEFF gone")
        return x


def recording(*services_s: float):
    """A loader of `Recording` modules, one service time for each."""
    return lambda index: torch.jit.script(Recording(index, services_s[index]))


def load_scripted(_index: int):
    """A loader that child processes can have."""
    return torch.jit.script(torch.nn.Identity())


def failure(load) -> tuple[int, int, str, int]:
    """Worker, replica and cause of a failed run, and how many threads it left."""
    before = threading.active_count()
    try:
        measure(load, EXAMPLE, workers=4, batches_per_worker=10**6, options=NATIVE)
    except WorkerFailed as failed:
        return failed.worker, failed.replica, failed.cause, threading.active_count() - before
    raise AssertionError("the run did not fail")
