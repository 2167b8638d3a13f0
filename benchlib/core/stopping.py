"""Told to stop, a measurement ends after the batches in flight and keeps its finished rounds."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SAME_WISH = 2


class StopRequest:
    """Becomes true with the first SIGTERM or SIGINT; the same one a third time ends the process at once.

    Ctrl-C and a task's end reach the whole process group, and who started this process then signals it once
    more: that is one wish, not two.
    """

    def __init__(self) -> None:
        self.received: list[int] = []

    def __call__(self) -> bool:
        """Whether a signal has come."""
        return bool(self.received)

    def take(self, number: int, _frame: FrameType | None) -> None:
        """Remember the signal, or leave at once."""
        if self.received.count(number) >= SAME_WISH:
            raise SystemExit(128 + number)
        self.received.append(number)

    @property
    def exit_status(self) -> int:
        """What a shell expects of a process that the first signal has ended; 0 without one."""
        return 128 + self.received[0] if self.received else 0


@contextmanager
def stop_on_signal() -> Iterator[StopRequest]:
    """Within this block SIGTERM and SIGINT only ask; the handlers of before come back at its end."""
    request = StopRequest()
    before = {number: signal.signal(number, request.take) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
