"""The fake host that a process runs on: its root directory, devices and the state of its cores.

Every process that uses a core holds a POSIX lock on that core's file, which the kernel drops when the
process ends, however it ends, and whose holder the kernel can name.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import mmap
import os
import struct
import tempfile
import threading
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT_VARIABLE = "BENCH_NEURON_ROOT"
CORES_PER_DEVICE = 2
DEVICE_MEMORY_BYTES = 32 * 2**30

_counting = threading.Lock()
_FLOCK = "@hhqqi4x"
COUNTERS = (
    "busy_ns",
    "latency_ns",
    "completed",
    "completed_with_err",
    "completed_with_num_err",
    "timed_out",
    "incorrect_input",
    "hardware",
)


@dataclass(frozen=True)
class Topology:
    devices: int = 1
    instance_type: str = "inf2.xlarge"

    @property
    def cores(self) -> int:
        return self.devices * CORES_PER_DEVICE

    def save(self, root: Path) -> None:
        (root / "run").mkdir(parents=True, exist_ok=True)
        (root / "topology.json").write_text(json.dumps(asdict(self)))


def root() -> Path:
    told = os.environ.get(ROOT_VARIABLE)
    directory = Path(told) if told else Path(tempfile.gettempdir()) / f"neuron-standin-{os.getuid()}"
    (directory / "run").mkdir(parents=True, exist_ok=True)
    return directory


def topology() -> Topology:
    with contextlib.suppress(FileNotFoundError):
        return Topology(**json.loads((root() / "topology.json").read_text()))
    return Topology()


def _lock_file(core: int) -> Path:
    return root() / "run" / f"core-{core}.lock"


def owner(core: int) -> int | None:
    """The process that holds a core. Not to be asked by that process: closing the file drops its lock."""
    with contextlib.suppress(FileNotFoundError), _lock_file(core).open("rb") as file:
        query = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        kind, *_, pid = struct.unpack(_FLOCK, fcntl.fcntl(file, fcntl.F_GETLK, query))
        return None if kind == fcntl.F_UNLCK else int(pid)
    return None


class Claim:
    """The cores that this process holds until it ends."""

    def __init__(self) -> None:
        self._descriptors: dict[int, int] = {}

    def take(self, core: int) -> bool:
        descriptor = os.open(_lock_file(core), os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            return False
        self._descriptors[core] = descriptor
        return True

    def release(self) -> None:
        for descriptor in self._descriptors.values():
            os.close(descriptor)
        self._descriptors.clear()


class CoreCounters:
    """What a core has done for its present owner, readable by other processes."""

    def __init__(self, core: int, *, reset: bool = False) -> None:
        path = root() / "run" / f"core-{core}.counters"
        size = 8 * len(COUNTERS)
        # Never cut short: another process may have it mapped.
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        os.ftruncate(descriptor, size)
        self._cells = memoryview(mmap.mmap(descriptor, size)).cast("q")
        os.close(descriptor)
        if reset:
            self._cells[:] = memoryview(bytes(size)).cast("q")

    def add(self, name: str, amount: int = 1) -> None:
        self._cells[COUNTERS.index(name)] += amount

    def set(self, name: str, value: int) -> None:
        self._cells[COUNTERS.index(name)] = value

    def read(self) -> dict[str, int]:
        return dict(zip(COUNTERS, self._cells, strict=True))


def sysfs_device(device: int) -> Path:
    return root() / "sys/devices/virtual/neuron_device" / f"neuron{device}"


def count_in_sysfs(device: int, counter: str) -> None:
    """Whole at every instant, as a real counter is: workers count and the tools read at the same time."""
    path = sysfs_device(device) / counter
    with _counting:
        if path.exists():
            new = path.with_name(f"{path.name}.new")
            new.write_text(f"{int(path.read_text()) + 1}\n")
            new.replace(path)
