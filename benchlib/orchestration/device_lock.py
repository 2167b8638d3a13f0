"""The host's reader/writer lock on its device: compiles share it, a measurement has it alone.

A pool of Airflow's is per deployment; this one also holds against a command line, `airflow dags test` and
what a lost worker left running.
"""

from __future__ import annotations

import fcntl
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from benchlib.errors import BenchError

_ASK_AGAIN_S = 0.25

log = logging.getLogger(__name__)


class DeviceBusy(BenchError):
    """Someone else kept the device for longer than this step may wait."""


@contextmanager
def device_lock(path: Path, *, exclusive: bool, what: str, timeout_s: float) -> Iterator[int]:
    """Hold the lock at ``path`` and yield its file descriptor.

    A child that inherits the descriptor keeps the lock until it ends, even when this process is killed:
    the lock belongs to the open file, and the kernel lets go of it when the last copy is closed.
    ``what`` tells those who wait what this holder does.

    Raises:
        DeviceBusy: not free within ``timeout_s``.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
    try:
        _wait(descriptor, path, exclusive=exclusive, deadline=time.monotonic() + timeout_s)
        _sign(descriptor, what, alone=exclusive)
        yield descriptor
    finally:
        # Closed, never unlocked: an unlock would also take it from a child that is still alive.
        os.close(descriptor)


def _wait(descriptor: int, path: Path, *, exclusive: bool, deadline: float) -> None:
    operation = (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB
    told = ""
    while True:
        try:
            fcntl.flock(descriptor, operation)
        except BlockingIOError:
            holders = _holders(path)
        else:
            return
        if time.monotonic() >= deadline:
            raise DeviceBusy(f"the device was not free in time: it is held by {holders} ({path})")
        if holders != told:
            log.info("waiting for the device, held by %s", holders)
            told = holders
        time.sleep(_ASK_AGAIN_S)


def _sign(descriptor: int, what: str, *, alone: bool) -> None:
    if alone:
        os.ftruncate(descriptor, 0)
    os.write(descriptor, f"{os.getpid()} {what}\n".encode())


def _holders(path: Path) -> str:
    """Who signed and is alive; the last to sign where all are gone: then a child of it has the lock."""
    lines = [line.partition(" ") for line in path.read_text(errors="replace").splitlines()]
    signed = {int(pid): what for pid, _, what in lines if pid.isdecimal()}
    alive = [f"process {pid} ({what})" for pid, what in signed.items() if psutil.pid_exists(pid)]
    if alive or not signed:
        return ", ".join(alive) or "a process that has just begun"
    pid, what = signed.popitem()
    return f"what process {pid} left running ({what})"
