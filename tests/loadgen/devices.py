"""Replicas that child processes can import, for runs over several processes."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass

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
