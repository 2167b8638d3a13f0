"""When the warm-up is over: the rate of the full load has settled."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

WINDOW_S = 0.2
WINDOW_BATCHES = 3
TOLERANCE = 0.02

Progress = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Calls of each worker so far, and the end of its last one in nanoseconds."""


@dataclass(frozen=True)
class WarmUp:
    """What was called before anything counted."""

    batches: int
    """Of all workers."""
    duration_s: float
    settled: bool | None
    """Whether the rate had settled; ``None``: a fixed number of batches was asked for."""


@dataclass
class Settling:
    """Compares the throughput of each window with that of the one before.

    A window is the shortest stretch in which every worker makes `WINDOW_BATCHES` calls and `WINDOW_S` pass.
    The rate has settled when two windows in a row differ by `TOLERANCE` at most. It is counted from end to
    end of whole calls, so that no call is counted by half.
    """

    settled: bool = False
    _since: Progress | None = None
    _rate_per_s: float | None = None

    def observe(self, now: Progress) -> None:
        """Take in the workers' progress, as often as is convenient."""
        if self._since is None:
            self._since = now
            return
        batches, spans_ns = now[0] - self._since[0], now[1] - self._since[1]
        if batches.min() < WINDOW_BATCHES or spans_ns.min() < WINDOW_S * 1e9:
            return
        rate_per_s = float((batches / (spans_ns * 1e-9)).sum())
        if self._rate_per_s is not None:
            self.settled = abs(rate_per_s / self._rate_per_s - 1) <= TOLERANCE
        self._since, self._rate_per_s = now, rate_per_s
