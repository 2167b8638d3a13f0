"""Watches the device beside a measurement and says whether the measurement can be believed."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchlib.backends.base import Watch
from benchlib.backends.neuron import monitor, sysfs
from benchlib.backends.neuron.host import NeuronHost
from benchlib.results import Check, Reading

MONITOR_VARIABLE = "BENCH_NEURON_MONITOR"
"""``off``: no neuron-monitor beside a measurement; its own share of the host's CPU can be found that way."""

_KIND = re.compile(r"[a-z_]{1,40}")
"""The kinds of errors are the tool's own words; whatever looks otherwise is not passed on."""

USED_PERCENT = 1.0
"""A core below this was not used: an idle one reads 0, and a busy one far more."""


@dataclass
class DeviceWatch(Watch):
    """With what neuron-monitor told."""

    monitored: monitor.Telemetry | None = None
    """``None``: neuron-monitor is missing or switched off."""


@contextmanager
def watching(host: NeuronHost, workdir: Path, cores: int) -> Iterator[DeviceWatch]:
    """Sample and count while the body runs and uses so many cores.

    What is missing on the host (the monitor, a counter) is left out, not made up.
    """
    watch = DeviceWatch()
    sampler = _sampler(host, workdir)
    memory_before, executions_before = sysfs.memory_errors(host.root), sysfs.execution_errors(host.root)
    if sampler:
        sampler.start()
    try:
        yield watch
    finally:
        if sampler:
            sampler.stop()
    if sampler:
        watch.monitored = monitor.summarise(sampler.samples())
    memory = sysfs.memory_errors(host.root).increase_since(memory_before)
    executions = sysfs.execution_errors(host.root).increase_since(executions_before)
    watch.checks = (
        memory_check(memory, watch.monitored),
        execution_check(executions, watch.monitored),
        *((cores_check(watch.monitored, cores),) if watch.monitored else ()),
    )
    watch.telemetry = (
        *((_count("memory_errors", memory.total),) if memory_before.values else ()),
        *((_count("execution_errors", executions.total),) if executions_before.values else ()),
        *(readings(watch.monitored) if watch.monitored else ()),
    )


def readings(telemetry: monitor.Telemetry) -> tuple[Reading, ...]:
    """What neuron-monitor told, as figures with a unit. Only what is named here is passed on."""
    used = telemetry.utilisation_percent.items()
    latency = telemetry.device_latency
    others = (
        ("device_latency_p50", latency and latency.p50_ms, "ms"),
        ("device_latency_p99", latency and latency.p99_ms, "ms"),
        ("device_memory", telemetry.device_memory_bytes, "bytes"),
        ("runtime_host_memory", telemetry.host_memory_bytes, "bytes"),
    )
    return (
        *(Reading(name="core_utilisation", value=u / 100, unit="ratio", core=core) for core, u in used),
        *(Reading(name=name, value=value, unit=unit) for name, value, unit in others if value is not None),
        *(_count(f"errors_{kind}", n) for kind, n in telemetry.errors.items() if _KIND.fullmatch(kind)),
    )


def _count(name: str, count: int) -> Reading:
    return Reading(name=name, value=count, unit="count")


def _sampler(host: NeuronHost, workdir: Path) -> monitor.Sampler | None:
    tool = host.tool("neuron-monitor")
    is_off = os.environ.get(MONITOR_VARIABLE) == "off"
    return None if tool is None or is_off else monitor.Sampler(tool, workdir)


def memory_check(counted: sysfs.Counters, telemetry: monitor.Telemetry | None) -> Check:
    """No uncorrected memory error during the run, by the driver's counters and by neuron-monitor's."""
    errors = max(counted.total, telemetry.memory_errors if telemetry else 0)
    return Check(
        name="device_memory_errors",
        passed=errors == 0,
        figure=errors,
        limit=0,
        unit="errors",
        advice="The device's memory had no uncorrected error."
        if errors == 0
        else f"The device's memory had uncorrected errors ({counted or 'seen by neuron-monitor'}): "
        "replace the instance.",
    )


def execution_check(counted: sysfs.Counters, telemetry: monitor.Telemetry | None) -> Check:
    """Every execution during the run ended well."""
    told = {kind: count for kind, count in (telemetry.errors if telemetry else {}).items() if count}
    errors = max(counted.total, sum(told.values()))
    listed = ", ".join(f"{kind} {count}" for kind, count in told.items()) or str(counted)
    return Check(
        name="device_execution_errors",
        passed=errors == 0,
        figure=errors,
        limit=0,
        unit="errors",
        advice="Every execution ended well." if errors == 0 else f"Executions ended with errors: {listed}.",
    )


def cores_check(telemetry: monitor.Telemetry, cores: int) -> Check:
    """As many cores worked as there should be. Two replicas on one core show here."""
    if telemetry.samples == 0:
        return Check(
            name="cores_used",
            passed=True,
            advice="Not checked: the run was over before neuron-monitor saw it (it looks once a second).",
        )
    busy = [core for core, used in telemetry.utilisation_percent.items() if used >= USED_PERCENT]
    listed = f"Busy were {len(busy)} cores of {cores} ({', '.join(map(str, busy))})"
    return Check(
        name="cores_used",
        passed=len(busy) >= cores,
        figure=len(busy),
        limit=cores,
        unit="cores",
        advice=f"{listed}." if len(busy) >= cores else f"{listed}: the replicas are not placed one per core.",
    )
