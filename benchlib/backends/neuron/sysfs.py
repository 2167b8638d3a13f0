"""The driver's counters in sysfs: error counts that must not move while something is measured."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchlib.backends.neuron.host import read_text

DEVICES_DIRECTORY = "sys/devices/virtual/neuron_device"

_BAD_STATUS = re.compile(r"err|fail|time|incorrect|bad|unrecoverable")


@dataclass(frozen=True)
class Counters:
    """Counts by name, such as ``("neuron0/mem_ecc_uncorrected", 0)``, in order of name."""

    values: tuple[tuple[str, int], ...]

    def increase_since(self, before: Counters) -> Counters:
        """What has been counted since, where it is more than nothing. A counter that is new began at 0."""
        earlier = dict(before.values)
        moved = ((name, count - earlier.get(name, 0)) for name, count in self.values)
        return Counters(tuple((name, count) for name, count in moved if count > 0))

    @property
    def total(self) -> int:
        """The sum of all counts."""
        return sum(count for _, count in self.values)

    def __str__(self) -> str:
        return ", ".join(f"{name} {count}" for name, count in self.values)


@dataclass(frozen=True)
class Architecture:
    """What a chip calls itself; ``None`` where the driver does not say."""

    device_name: str | None
    """Such as ``Inferentia2``."""
    instance_family: str | None
    """Such as ``Inf2``."""
    device_version: str | None
    """Such as ``NDv3``."""
    core_version: str | None
    """Such as ``NCv2``."""


def device_directories(root: Path) -> tuple[Path, ...]:
    """The sysfs directory of each device, in the order of their numbers."""
    found = (root / DEVICES_DIRECTORY).glob("neuron*")
    return tuple(sorted((path for path in found if path.name[6:].isdigit()), key=lambda p: int(p.name[6:])))


def memory_errors(root: Path) -> Counters:
    """Uncorrected and repairable ECC errors of all devices since the driver was loaded."""
    return Counters(tuple(sorted(_ecc_counts(root))))


def _ecc_counts(root: Path) -> Iterator[tuple[str, int]]:
    for device in device_directories(root):
        # A corrected error is the hardware doing its work.
        for path in device.glob("stats/hardware/*uncorrected"):
            count = _number(path)
            if count is not None:
                yield f"{device.name}/{path.name}", count


def execution_errors(root: Path) -> Counters:
    """Executions that did not end well, per core, since the driver was loaded."""
    return Counters(tuple(sorted(_status_counts(root))))


def _status_counts(root: Path) -> Iterator[tuple[str, int]]:
    for device in device_directories(root):
        for path in device.glob("neuron_core*/stats/status/*/total"):
            # Older drivers say infer_, newer ones execute_.
            status = re.sub(r"^(infer|execute)_", "", path.parent.name)
            count = _number(path)
            if count is not None and _BAD_STATUS.search(status):
                yield f"{device.name}/{path.parts[-5]}/{status}", count


def architecture(device: Path) -> Architecture:
    """What the device of this sysfs directory is."""
    info = device / "info/architecture"
    return Architecture(
        # The documentation names this file otherwise than the driver does.
        device_name=read_text(info / "device_name") or read_text(info / "device_type"),
        instance_family=read_text(info / "instance_type"),
        device_version=read_text(info / "arch_type"),
        core_version=read_text(device / "neuron_core0/info/architecture/arch_type"),
    )


def _number(path: Path) -> int | None:
    text = read_text(path) or ""
    return int(text) if text.isdigit() else None
