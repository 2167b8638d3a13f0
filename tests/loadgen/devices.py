"""Replicas that child processes can import, for runs over several processes."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass


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
