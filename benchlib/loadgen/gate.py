"""The one place where workers meet: a flag that is cheap to read on every call."""

from __future__ import annotations

import threading


class Gate:
    """Opens for good when every party has arrived.

    Workers read ``is_open`` between calls, which costs an attribute look-up, and take the lock only once
    each, on arrival. Nobody waits: a worker that has arrived keeps its replica busy until the gate opens.
    """

    def __init__(self, parties: int) -> None:
        self.is_open = False
        self._missing = parties
        self._lock = threading.Lock()

    def arrive(self) -> None:
        """Count one party in; the last one opens the gate."""
        with self._lock:
            self._missing -= 1
            if self._missing == 0:
                self.is_open = True

    def force_open(self) -> None:
        """Open without the missing parties, so that nobody circles for ever beside a failed worker."""
        self.is_open = True
