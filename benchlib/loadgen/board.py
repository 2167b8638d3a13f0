"""The board that workers and their coordinator share: a few int64 cells and everybody's stamps.

It lies in anonymous shared memory, so that it looks the same whether the workers are threads of one
process or of several. Reading a cell between two calls costs tens of nanoseconds and takes no lock.
"""

from __future__ import annotations

import mmap
import os
from bisect import bisect_left
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CELL_BYTES = 8
STOP, START_NS, WARM, DONE, HEADER = 0, 1, 2, 3, 4


@dataclass(frozen=True)
class BoardShape:
    """How many workers write, and how many measured batches each may stamp at most."""

    workers: int
    max_batches: int

    @property
    def size_bytes(self) -> int:
        """Header, four cells per worker and one row of stamps per worker."""
        return CELL_BYTES * (HEADER + 4 * self.workers + self.workers * (self.max_batches + 1))


class Board:
    """Cells and stamps over one shared buffer. Every cell has exactly one kind of writer.

    ``stop``, ``start_ns`` and the targets are the coordinator's. ``ready``, ``warm``, ``done`` and the
    stamps belong to their worker. The two gates are opened by whoever sees the last arrival.
    """

    def __init__(self, shape: BoardShape, fd: int) -> None:
        self.shape = shape
        self.fd = fd
        n = shape.workers
        self._memory = mmap.mmap(fd, shape.size_bytes)
        self.cells = memoryview(self._memory).cast("q")
        everything = np.frombuffer(self._memory, dtype=np.int64)
        self.header = everything[:HEADER]
        self.ready, self.warm, self.done, self.targets = everything[HEADER : HEADER + 4 * n].reshape(4, n)
        self.stamps: NDArray[np.int64] = everything[HEADER + 4 * n :].reshape(n, shape.max_batches + 1)

    @classmethod
    def create(cls, shape: BoardShape) -> Board:
        """A board of zeros that child processes can inherit by its file descriptor."""
        fd = os.memfd_create("benchlib-board")
        os.ftruncate(fd, shape.size_bytes)
        board = cls(shape, fd)
        board.stamps.fill(0)  # touches every page now, not while a worker is on the clock
        return board

    def target_cell(self, worker: int) -> int:
        """Index into ``cells`` of how many batches this worker still has to reach."""
        return HEADER + 3 * self.shape.workers + worker

    def row(self, worker: int) -> memoryview:
        """This worker's stamps, as a memoryview: the cheapest thing to write an integer into."""
        start = HEADER + 4 * self.shape.workers + worker * (self.shape.max_batches + 1)
        return self.cells[start : start + self.shape.max_batches + 1]

    def addresses(self, worker: int) -> list[int]:
        """Where the native loop finds, in this order: the two gates, everybody's two arrivals, this worker's
        target and its stamps."""
        places = (
            self.header[WARM:],
            self.header[DONE:],
            self.warm,
            self.done,
            self.targets[worker:],
            self.stamps[worker],
        )
        return [int(place.ctypes.data) for place in places]

    def arrive_warm(self, worker: int) -> None:
        """This worker has warmed up; the last one opens the gate."""
        self.warm[worker] = 1
        self.open_gates()

    def arrive_done(self, worker: int) -> None:
        """This worker has measured; the last one opens the gate."""
        self.done[worker] = 1
        self.open_gates()

    def open_gates(self) -> None:
        """Open what everybody has reached. The coordinator calls it too: two last arrivals at the same
        instant may each miss the other's store."""
        if self.warm.all():
            self.header[WARM] = 1
        if self.done.all():
            self.header[DONE] = 1

    def stop(self) -> None:
        """Let every worker leave its loop after the call it is in."""
        self.header[STOP] = 1
        self.targets[:] = 0
        self.header[WARM] = self.header[DONE] = 1
        self.header[START_NS] = self.header[START_NS] or 1

    def close(self) -> None:
        """Give the descriptor back; the memory lives on until the last view of it is gone."""
        os.close(self.fd)

    @property
    def stopped(self) -> bool:
        """True after `stop`."""
        return bool(self.header[STOP])

    def batches_finished(self, worker: int) -> int:
        """Measured batches of this worker so far."""
        row = self.stamps[worker]
        filled = bisect_left(range(len(row)), 1, key=lambda i: int(row[i] == 0))
        return max(filled - 1, 0)
