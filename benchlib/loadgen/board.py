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
STOP, START_NS, WARM, DONE, HOLD, HEADER = 0, 1, 2, 3, 4, 5
CELLS_PER_WORKER = 5
RING = 64
"""Ends of calls that are remembered of each worker's warm-up; a power of two."""


@dataclass(frozen=True)
class BoardShape:
    """How many workers write, and how many measured batches each may stamp at most."""

    workers: int
    max_batches: int

    @property
    def size_bytes(self) -> int:
        """Header, and per worker its cells, the ring of its warm-up and its row of stamps."""
        return CELL_BYTES * (HEADER + self.workers * (CELLS_PER_WORKER + RING + self.max_batches + 1))

    @property
    def first_stamp(self) -> int:
        """Index of the first stamp among all cells."""
        return HEADER + self.workers * (CELLS_PER_WORKER + RING)


class Board:
    """Cells and stamps over one shared buffer. Every cell has exactly one kind of writer.

    ``stop``, ``start_ns``, ``hold`` and the targets are the coordinator's. ``ready``, ``warm``, ``done``,
    the progress of the warm-up and the stamps belong to their worker. The two gates are opened by whoever
    sees the last arrival; while ``hold`` is set the warm gate stays shut.
    """

    def __init__(self, shape: BoardShape, fd: int) -> None:
        self.shape = shape
        self.fd = fd
        n = shape.workers
        self._memory = mmap.mmap(fd, shape.size_bytes)
        self.cells = memoryview(self._memory).cast("q")
        self._everything = everything = np.frombuffer(self._memory, dtype=np.int64)
        self.header, own, rings, stamps = np.split(
            everything, [HEADER, HEADER + CELLS_PER_WORKER * n, shape.first_stamp]
        )
        self.ready, self.warm, self.done, self.targets, self.counts = own.reshape(CELLS_PER_WORKER, n)
        self.ends: NDArray[np.int64] = rings.reshape(n, RING)
        self.stamps: NDArray[np.int64] = stamps.reshape(n, shape.max_batches + 1)

    @classmethod
    def create(cls, shape: BoardShape) -> Board:
        """A board of zeros that child processes can inherit by its file descriptor."""
        fd = os.memfd_create("benchlib-board")
        os.ftruncate(fd, shape.size_bytes)
        board = cls(shape, fd)
        board.reset()
        return board

    def reset(self) -> None:
        """Zeros, and every target as far as there is room. No worker may be at it."""
        self._everything.fill(0)  # touches every page now, not while a worker is on the clock
        self.targets[:] = self.shape.max_batches

    def target_cell(self, worker: int) -> int:
        """Index into ``cells`` of how many batches this worker still has to reach."""
        return HEADER + 3 * self.shape.workers + worker

    def count_cell(self, worker: int) -> int:
        """Index into ``cells`` of how often this worker has called its replica to warm up."""
        return HEADER + 4 * self.shape.workers + worker

    def ring(self, worker: int) -> memoryview:
        """Where this worker writes the end of call k of its warm-up, at ``k % RING``."""
        start = HEADER + CELLS_PER_WORKER * self.shape.workers + worker * RING
        return self.cells[start : start + RING]

    def row(self, worker: int) -> memoryview:
        """This worker's stamps, as a memoryview: the cheapest thing to write an integer into."""
        start = self.shape.first_stamp + worker * (self.shape.max_batches + 1)
        return self.cells[start : start + self.shape.max_batches + 1]

    def addresses(self, worker: int) -> list[int]:
        """Where the native loop finds, in this order: the hold, the two gates, everybody's two arrivals, this
        worker's target, its stamps, its count of the warm-up and the ring that goes with it."""
        places = (
            self.header[HOLD:],
            self.header[WARM:],
            self.header[DONE:],
            self.warm,
            self.done,
            self.targets[worker:],
            self.stamps[worker],
            self.counts[worker:],
            self.ends[worker],
        )
        return [int(place.ctypes.data) for place in places]

    def arrive_warm(self, worker: int) -> None:
        """This worker has warmed up; the last one opens the gate, unless it is held shut."""
        self.warm[worker] = 1
        self.open_gates()

    def arrive_done(self, worker: int) -> None:
        """This worker has measured; the last one opens the gate."""
        self.done[worker] = 1
        self.open_gates()

    def open_gates(self) -> None:
        """Open what everybody has reached. The coordinator calls it too: two last arrivals at the same
        instant may each miss the other's store."""
        if self.warm.all() and not self.header[HOLD]:
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

    def warm_progress(self) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
        """How often each worker has called to warm up, and when its last such call ended (ns).

        Shape (workers,) both. ``None`` where one has not called yet, or was too quick to be read.
        """
        counts = self.counts.copy()
        ends = self.ends[np.arange(self.shape.workers), (counts - 1) % RING]
        overwritten = (self.counts - counts).max() >= RING - 1
        return None if overwritten or not counts.all() else (counts, ends)

    def batches_finished(self, worker: int) -> int:
        """Measured batches of this worker so far."""
        row = self.stamps[worker]
        filled = bisect_left(range(len(row)), 1, key=lambda i: int(row[i] == 0))
        return max(filled - 1, 0)
