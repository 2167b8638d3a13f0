"""Whether this host and this interpreter are ready, asked before anything is compiled.

``python -m benchlib.backends.neuron`` prints it. No core is claimed and torch_neuronx is not imported.
"""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchlib.artifacts import SWEEP_BYTES
from benchlib.backends.neuron import monitor
from benchlib.backends.neuron.backend import transformers_problem
from benchlib.backends.neuron.host import NeuronDevice, NeuronHost
from benchlib.errors import BenchError
from benchlib.interpreters import PIN_ADVICE
from benchlib.results import Check


def preflight(host: NeuronHost, workdir: Path) -> tuple[Check, ...]:
    """All checks; those after a failed one are made too, so that one look tells everything."""
    try:
        devices = host.devices()
        complaint = ""
    except BenchError as error:
        devices, complaint = (), str(error)
    return (
        _platform_check(),
        _driver_check(host),
        _pair_check(host),
        _devices_check(host, devices, complaint),
        _instance_check(host, devices),
        _foreign_check(devices),
        _monitor_check(host),
        _package_check("torch-neuronx", PIN_ADVICE),
        _package_check("neuronx-cc", "install the compiler of the same SDK as torch-neuronx"),
        _transformers_check(),
        _disk_check(workdir),
    )


def pair_problem(driver: str | None, runtime: str | None) -> str | None:
    """Why a driver and a runtime library do not work together; ``None`` when nothing is known against it.

    AWS's release notes state two rules: driver 2.29 needs runtime 2.33 or later, and runtime 2.32 no longer
    works with driver 2.26 or earlier.
    """
    if driver is None or runtime is None:
        return None
    if _release(driver) >= (2, 29) and _release(runtime) < (2, 33):
        return f"driver {driver} needs runtime library 2.33 or later, found {runtime}; upgrade the runtime"
    if _release(runtime) >= (2, 32) and _release(driver) <= (2, 26):
        return f"runtime library {runtime} needs a driver later than 2.26, found {driver}; upgrade the driver"
    return None


def _release(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".")[:2])


def _check(name: str, problem: str | None, well: str) -> Check:
    return Check(name=name, passed=problem is None, advice=problem or well)


def _platform_check() -> Check:
    found = f"{platform.system()} on {platform.machine()}"
    is_right = (platform.system(), platform.machine()) == ("Linux", "x86_64")
    return _check("platform", None if is_right else f"{found}: Neuron needs Linux on x86_64", found)


def _driver_check(host: NeuronHost) -> Check:
    loaded = host.driver_loaded()
    problem = "the Neuron driver is not loaded; install aws-neuronx-dkms on the host"
    return _check("driver", None if loaded else problem, f"driver {host.driver_version()}")


def _pair_check(host: NeuronHost) -> Check:
    driver, runtime = host.driver_version(), host.runtime_version()
    return _check("runtime", pair_problem(driver, runtime), f"runtime library {runtime}")


def _devices_check(host: NeuronHost, devices: Sequence[NeuronDevice], complaint: str) -> Check:
    files = [host.root / f"dev/neuron{device.index}" for device in devices]
    closed = [str(path) for path in files if not os.access(path, os.R_OK | os.W_OK)]
    if closed:
        complaint = f"{', '.join(closed)} cannot be opened; in a container, pass --device for each"
    elif not devices:
        complaint = complaint or "no Neuron device is visible"
    cores = sum(device.core_count for device in devices)
    return _check("devices", complaint or None, f"{len(devices)} devices with {cores} cores")


def _instance_check(host: NeuronHost, devices: Sequence[NeuronDevice]) -> Check:
    found = host.instance_type(devices)
    problem = f"{found or 'unknown'}: this is not an inf2 instance; programs are compiled for inf2 by default"
    return _check("instance", None if (found or "").startswith("inf2.") else problem, found or "")


def _foreign_check(devices: Sequence[NeuronDevice]) -> Check:
    pids = sorted({process.pid for device in devices for process in device.processes})
    problem = f"cores are held by process {', '.join(map(str, pids))}; a measurement needs them all"
    return _check("cores", problem if pids else None, "no process holds a core")


def _monitor_check(host: NeuronHost) -> Check:
    tool = host.tool("neuron-monitor")
    if tool is None:
        return _check("monitor", "neuron-monitor is missing; install aws-neuronx-tools", "")
    with tempfile.TemporaryDirectory(prefix="bench-monitor-") as directory:
        sample = monitor.read_once(tool, Path(directory))
    problem = "neuron-monitor does not answer: no measurement can tell whether every core was busy"
    return _check("monitor", None if sample else problem, "neuron-monitor answers")


def _package_check(package: str, advice: str) -> Check:
    try:
        found = version(package)
    except PackageNotFoundError:
        return _check(package, f"not installed in this interpreter: {advice}", "")
    return _check(package, None, found)


def _transformers_check() -> Check:
    try:
        found = version("transformers")
    except PackageNotFoundError:
        return _check("transformers", transformers_problem(None), "")
    problem = transformers_problem(found)
    return _check("transformers", f"found {found}, wanted {problem}" if problem else None, found)


def _disk_check(workdir: Path) -> Check:
    free_gb, needed_gb = shutil.disk_usage(workdir).free / 1e9, SWEEP_BYTES / 1e9
    return Check(
        name="disk",
        passed=free_gb >= needed_gb,
        figure=round(free_gb, 1),
        limit=needed_gb,
        unit="GB",
        advice=f"{free_gb:.1f} GB are free at {workdir}; a sweep needs up to {needed_gb:.0f} GB",
    )
