"""Replicas that child processes can import, for runs over several processes."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from unittest.mock import patch

from benchlib.loadgen import LoadOptions, measure


@dataclass(frozen=True)
class Sleeper:
    """The i-th replica sleeps for ``service_s`` and answers (its index, its process)."""

    service_s: float = 0.001

    def __call__(self, index: int):
        def replica() -> tuple[int, int]:
            time.sleep(self.service_s)
            return index, os.getpid()

        return replica


@dataclass(frozen=True)
class Dying(Sleeper):
    """Replica ``victim`` raises, or is killed, at its ``at``-th call."""

    victim: int = 1
    at: int = 30
    how: str = "raise"

    def __call__(self, index: int):
        replica = super().__call__(index)
        calls = [0]

        def dying() -> tuple[int, int]:
            calls[0] += 1
            if index == self.victim and calls[0] == self.at:
                if self.how == "kill":
                    os.kill(os.getpid(), signal.SIGKILL)
                raise RuntimeError("NEFF gone")
            return replica()

        return dying


@dataclass
class VirtualTime:
    """A clock of each thread's own that its replica alone moves: what a call takes is known exactly."""

    local: threading.local = field(default_factory=threading.local)

    def now_ns(self) -> int:
        return getattr(self.local, "ns", 1)

    def advance(self, by_ns: int) -> int:
        """Let time pass in the calling thread; the new time."""
        self.local.ns = self.now_ns() + by_ns
        time.sleep(0)
        return self.local.ns

    @contextmanager
    def rules(self) -> Iterator[None]:
        """Within this block there is no other time."""
        with patch.object(time, "perf_counter_ns", self.now_ns):
            yield


@dataclass(frozen=True)
class NeverLoaded:
    """Loading takes longer than anybody waits; a file per process tells that it has begun."""

    folder: str

    def __call__(self, index: int):
        with open(f"{self.folder}/{index}", "w"):  # noqa: PTH123
            pass
        threading.Event().wait(600)


@dataclass(frozen=True)
class Unloadable:
    """No replica can be loaded."""

    def __call__(self, index: int):
        raise OSError(f"no core {index}")


def ask(replica, example):
    """The probe: one call."""
    return replica(*example)


def thread_limit(_replica, _example) -> str | None:
    """A probe that tells the child's own thread limit."""
    return os.environ.get("OMP_NUM_THREADS")


@dataclass(frozen=True)
class Burner:
    """The i-th replica computes for ``cpu_s`` and never gives up the interpreter's lock."""

    cpu_s: float

    def __call__(self, index: int):
        def replica() -> None:
            end_s = time.thread_time() + self.cpu_s
            while time.thread_time() < end_s:
                pass

        return replica


def no_python(_replicas) -> dict[str, str]:
    """An environment in which no interpreter starts."""
    return {"PYTHONHOME": "/nonexistent", "PYTHONPATH": ""}


def send_two_process_run(connection) -> None:
    """Measure with two processes; send with the stamps' shape and the processes that loaded a replica."""
    run = measure(
        Sleeper(), (), workers=4, batches_per_worker=10, options=LoadOptions(processes=2, probe=ask)
    )
    connection.send((run.stamps.ns.shape, [pid for _index, pid in run.probes_after.values()]))
