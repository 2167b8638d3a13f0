"""Reads ``neuron-monitor``: utilisation per core, time on the chip, error counts.

Only the fields named here are taken from its records; what identifies an instance, an image or a network is
never read. It has no one-shot mode and costs some CPU, so it samples once a second at most, writes to a file
while something is measured, and the file is read afterwards.
"""

from __future__ import annotations

import json
import logging
import os
import selectors
import statistics
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

CONFIG: Mapping[str, Any] = {
    "period": "1s",
    "neuron_runtimes": [
        {
            "tag_filter": ".*",
            "metrics": [{"type": kind} for kind in ("neuroncore_counters", "memory_used", "execution_stats")],
        }
    ],
    "system_metrics": [{"type": "neuron_hw_counters", "period": "2s"}],
}

FIRST_RECORD_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 5.0

ENOUGH_SAMPLES = 5

_GOOD_EXECUTIONS = frozenset({"completed"})
_UNCORRECTED = "_uncorrected"


@dataclass(frozen=True)
class Latency:
    """Percentiles of one period, in milliseconds."""

    p50_ms: float
    p99_ms: float


@dataclass(frozen=True)
class RuntimeSample:
    """One process that uses cores, in one period."""

    pid: int
    utilisation_percent: Mapping[int, float]
    """By the core's number on this host."""
    device_latency: Latency | None
    """Time on the chip, without the host's share."""
    errors: Mapping[str, int]
    """Executions that did not end well, by kind."""
    device_memory_bytes: int | None
    host_memory_bytes: int | None
    """Of the host, used by the runtime."""


@dataclass(frozen=True)
class Sample:
    """One line of neuron-monitor."""

    runtimes: tuple[RuntimeSample, ...]
    memory_errors: Mapping[str, int]
    """Uncorrected ECC errors since the driver was loaded, by device and memory."""
    device_count: int | None
    cores_per_device: int | None


@dataclass(frozen=True)
class Telemetry:
    """The samples of one run together."""

    samples: int
    """Periods in which a process was using cores."""
    utilisation_percent: Mapping[int, float]
    """Median over the samples, by core; a core that never appeared is missing."""
    device_latency: Latency | None
    """Median of the periods' medians, and the highest of their 99th percentiles."""
    errors: Mapping[str, int]
    """The highest count of each kind in any sample, summed over the processes. For one that is only as old
    as its run this is 0 exactly when nothing went wrong, whether the tool counts by period or from the start.
    """
    memory_errors: int
    """Uncorrected ECC errors from the first sample to the last."""
    device_memory_bytes: int | None = None
    """The most that all processes together used in any sample; ``None``: never told."""
    host_memory_bytes: int | None = None
    """The same of the host's memory, used by the runtime."""


def parse(line: str) -> Sample | None:
    """One record; ``None`` for a line that is none, such as the last one of a killed process."""
    try:
        record = json.loads(line)
    except ValueError:
        return None
    if not isinstance(record, dict):
        return None
    hardware = record.get("neuron_hardware_info") or {}
    devices = _at(record, "system_data", "neuron_hw_counters", "neuron_devices") or ()
    return Sample(
        runtimes=tuple(_runtime(runtime) for runtime in record.get("neuron_runtime_data") or ()),
        memory_errors={
            f"neuron{device['neuron_device_index']}/{name}": int(count)
            for device in devices
            for name, count in device.items()
            if name.endswith(_UNCORRECTED)
        },
        device_count=hardware.get("neuron_device_count"),
        cores_per_device=hardware.get("neuroncore_per_device_count"),
    )


def _runtime(entry: Mapping[str, Any]) -> RuntimeSample:
    cores = _at(entry, "report", "neuroncore_counters", "neuroncores_in_use") or {}
    stats = _at(entry, "report", "execution_stats") or {}
    used = _at(entry, "report", "memory_used", "neuron_runtime_used_bytes")
    executions = stats.get("execution_summary") or {}
    bad = {kind: count for kind, count in executions.items() if kind not in _GOOD_EXECUTIONS}
    return RuntimeSample(
        pid=int(entry.get("pid") or 0),
        utilisation_percent={
            int(core): float(values.get("neuroncore_utilization") or 0.0) for core, values in cores.items()
        },
        device_latency=_latency(_at(stats, "latency_stats", "device_latency")),
        errors={
            kind: int(count or 0) for kind, count in {**(stats.get("error_summary") or {}), **bad}.items()
        },
        device_memory_bytes=_at(used, "neuron_device"),
        host_memory_bytes=_at(used, "host"),
    )


def _at(entry: Any, *path: str) -> Any:
    """What lies at a path of keys; every part may be missing or null, since each can fail on its own."""
    for key in path:
        entry = entry.get(key) if isinstance(entry, dict) else None
    return entry


def _latency(percentiles_s: Mapping[str, float] | None) -> Latency | None:
    if not percentiles_s:
        return None
    return Latency(percentiles_s["p50"] * 1e3, percentiles_s["p99"] * 1e3)


def summarise(samples: Sequence[Sample]) -> Telemetry:
    """What the samples say about everything that ran. An edge sample covers only a part of its period, so
    that medians are taken, and the first and last are left out when there are enough others."""
    busy = [cores for sample in samples if any((cores := _utilisation(sample)).values())]
    inner = busy[1:-1] if len(busy) >= ENOUGH_SAMPLES else busy
    runtimes = [runtime for sample in samples for runtime in sample.runtimes]
    latencies = [runtime.device_latency for runtime in runtimes if runtime.device_latency]
    return Telemetry(
        samples=len(busy),
        utilisation_percent={
            core: statistics.median(cores.get(core, 0.0) for cores in inner)
            for core in sorted({core for cores in busy for core in cores})
        },
        device_latency=Latency(
            statistics.median(latency.p50_ms for latency in latencies),
            max(latency.p99_ms for latency in latencies),
        )
        if latencies
        else None,
        errors=_errors(runtimes),
        memory_errors=_memory_errors(samples),
        device_memory_bytes=_most(
            [[runtime.device_memory_bytes for runtime in sample.runtimes] for sample in samples]
        ),
        host_memory_bytes=_most(
            [[runtime.host_memory_bytes for runtime in sample.runtimes] for sample in samples]
        ),
    )


def _most(used_bytes: Sequence[Sequence[int | None]]) -> int | None:
    """The highest sum over the processes of one sample."""
    told = [[used for used in sample if used is not None] for sample in used_bytes]
    return max((sum(sample) for sample in told if sample), default=None)


def _utilisation(sample: Sample) -> dict[int, float]:
    return {core: used for runtime in sample.runtimes for core, used in runtime.utilisation_percent.items()}


def _errors(runtimes: Sequence[RuntimeSample]) -> dict[str, int]:
    highest: dict[tuple[str, int], int] = {}
    for runtime in runtimes:
        for kind, count in runtime.errors.items():
            highest[kind, runtime.pid] = max(count, highest.get((kind, runtime.pid), 0))
    return {
        kind: sum(count for (k, _), count in highest.items() if k == kind)
        for kind in sorted({kind for kind, _ in highest})
    }


def _memory_errors(samples: Sequence[Sample]) -> int:
    told = [sum(sample.memory_errors.values()) for sample in samples if sample.memory_errors]
    return told[-1] - told[0] if told else 0


def read_once(tool: Path, workdir: Path, timeout_s: float = FIRST_RECORD_TIMEOUT_S) -> Sample | None:
    """The first record of a neuron-monitor that is started for it; ``None`` when none came in time."""
    with subprocess.Popen(
        _command(tool, workdir), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as child:
        assert child.stdout
        try:
            return parse(_first_line(child.stdout.fileno(), timeout_s))
        finally:
            _stop(child)


def _first_line(descriptor: int, timeout_s: float) -> str:
    deadline, text = time.monotonic() + timeout_s, b""
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        while b"\n" not in text and selector.select(max(0.0, deadline - time.monotonic())):
            chunk = os.read(descriptor, 1 << 16)
            if not chunk:
                break
            text += chunk
    return text.partition(b"\n")[0].decode(errors="replace")


def _command(tool: Path, workdir: Path) -> list[str]:
    config = workdir / "neuron-monitor.json"
    config.write_text(json.dumps(CONFIG))
    return [str(tool), "-c", str(config)]


def _stop(child: subprocess.Popen[bytes]) -> None:
    child.terminate()
    try:
        child.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


@dataclass
class Sampler:
    """A neuron-monitor beside a run: started, stopped, then read."""

    tool: Path
    workdir: Path
    _child: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def _records(self) -> Path:
        return self.workdir / "neuron-monitor.jsonl"

    def start(self) -> None:
        """Start sampling into a file of the work directory."""
        with self._records.open("wb") as output:
            self._child = subprocess.Popen(
                _command(self.tool, self.workdir),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.DEVNULL,
            )

    def stop(self) -> None:
        """End the child; a second call does nothing."""
        if self._child is not None:
            _stop(self._child)
            self._child = None

    def samples(self) -> tuple[Sample, ...]:
        """Everything sampled so far."""
        return tuple(self._read())

    def _read(self) -> Iterator[Sample]:
        with self._records.open(errors="replace") as lines:
            for line in lines:
                try:
                    sample = parse(line)
                except (AttributeError, KeyError, TypeError, ValueError) as error:
                    # One record of a form that no documentation tells must not cost a measurement.
                    log.warning("a record of neuron-monitor was left out: %r", error)
                    continue
                if sample is not None:
                    yield sample
