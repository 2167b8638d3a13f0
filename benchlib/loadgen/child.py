"""One of several load-generating processes: ``python -m benchlib.loadgen.child BOARD-FD RESULT-FD``.

Started by `benchlib.loadgen.processes`, never by hand. The job arrives pickled on stdin; a message for each
finished phase goes back on RESULT-FD.
"""

from __future__ import annotations

import ctypes
import os
import pickle
import signal
import sys
from multiprocessing.connection import Connection
from typing import Any

from benchlib.errors import BenchError
from benchlib.loadgen.board import Board
from benchlib.loadgen.crew import ThreadCrew, quiet_collector
from benchlib.loadgen.processes import PARENTS_SIGNALS, ChildJob

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Load, report the replicas' first answers, run the workers, report the last answers."""
    board_fd, result_fd = int(sys.argv[1]), int(sys.argv[2])
    told: ChildJob = pickle.load(sys.stdin.buffer)  # noqa: S301 - written by our own parent
    _die_with(told.parent_pid)
    board = Board(told.shape, board_fd)
    crew = ThreadCrew(told.job, board, told.job.workers_of_process(told.process))
    connection: Connection[Any, Any] = Connection(result_fd)
    try:
        crew.load()
        connection.send(crew.probe())
        with quiet_collector():
            crew.start()
            crew.join()
        connection.send(crew.failure or ({} if board.stopped else crew.probe()))
    except BenchError as failure:
        board.stop()
        connection.send(failure)


def _die_with(parent_pid: int) -> None:
    """Leave no orphan on the device: the kernel kills this process when its parent is gone."""
    # A handler that does nothing: what a replica starts would inherit that a signal is ignored.
    for number in PARENTS_SIGNALS:
        signal.signal(number, lambda _number, _frame: None)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, PARENTS_SIGNALS)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:
        os._exit(1)


if __name__ == "__main__":
    main()
