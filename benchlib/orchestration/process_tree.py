"""Ends a process together with everything that it started, wherever that went."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable

import psutil

MARK_VARIABLE = "BENCH_PROCESS_TREE"
"""Set to a unique value for a child, it is inherited by all that the child starts."""

_KILL_ATTEMPTS = 5
_LOOK_AGAIN_S = 0.02
_PR_SET_PDEATHSIG = 1

log = logging.getLogger(__name__)

# Looked up here, so that the forked child between fork and exec only calls it.
_prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None


def dies_with_this_process() -> Callable[[], None] | None:
    """A ``preexec_fn`` that has the kernel kill the child when the calling thread ends, even by kill -9.

    ``None`` where the kernel cannot do that.
    """
    prctl, parent = _prctl, os.getpid()
    if prctl is None:
        return None

    def ask_the_kernel() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        # The parent may have died before the kernel was asked: then no signal ever comes.
        if os.getppid() != parent:
            os._exit(1)

    return ask_the_kernel


class ProcessTree:
    """Children and all their descendants: those in another session and orphans included."""

    def __init__(self, mark: str) -> None:
        """``mark`` is the value of `MARK_VARIABLE` that the children are started with."""
        self._mark = mark
        self._roots: list[psutil.Process] = []
        self._sessions: set[int] = set()

    def add(self, pid: int) -> None:
        """A child, as soon as it has been started."""
        with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
            # psutil remembers the start time: a later process with this number is never mistaken for it.
            self._roots.append(psutil.Process(pid))
            if os.getsid(pid) == pid:
                self._sessions.add(pid)

    def members(self) -> set[psutil.Process]:
        """What is alive of the tree."""
        return {process for process in (*self._descent(), *self._strays()) if _is_alive(process)}

    def _descent(self) -> Iterable[psutil.Process]:
        for root in self._roots:
            with contextlib.suppress(psutil.Error):
                yield root
                yield from root.children(recursive=True)

    def _strays(self) -> Iterable[psutil.Process]:
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                # A program that changes its title may overwrite its environment: then its session tells.
                if os.getsid(process.pid) in self._sessions or self._is_marked(process):
                    yield process

    def _is_marked(self, process: psutil.Process) -> bool:
        return bool(process.environ().get(MARK_VARIABLE) == self._mark)

    def stop(self, grace_s: float) -> None:
        """SIGTERM for all; SIGKILL for what is left after ``grace_s``, also when that wait is interrupted."""
        members = self.members()
        try:
            _signal_all(members, signal.SIGTERM)
            _wait_for_end(members, grace_s)
        finally:
            self.kill()

    def kill(self) -> None:
        """SIGKILL for all, repeated for what was started meanwhile."""
        for _ in range(_KILL_ATTEMPTS):
            members = self.members()
            if not members:
                return
            _signal_all(members, signal.SIGKILL)
            _wait_for_end(members, 1)
        log.warning("these processes could not be killed: %s", sorted(p.pid for p in self.members()))


def _is_alive(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def _signal_all(processes: Iterable[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.send_signal(number)


def _wait_for_end(processes: Iterable[psutil.Process], timeout_s: float) -> None:
    # A zombie counts as ended: whose child it is reaps it, with the exit status that is still wanted.
    deadline = time.monotonic() + timeout_s
    while any(map(_is_alive, processes)) and time.monotonic() < deadline:
        time.sleep(_LOOK_AGAIN_S)
