"""Builds the fake host: a root directory with sysfs, tools and a virtual environment's interpreter.

    host = build_host(tmp_path, data_python, devices=6)
    subprocess.run([host.python, "-m", "benchlib", ...])

Whatever is started with ``host.python`` sees this host, and no other. Its results are the stand-in's.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .host import CORES_PER_DEVICE, Topology
from .sdk import DEFAULT_SDK, SDKS, Sdk

STANDIN = Path(__file__).resolve().parent.parent
INSTANCE_TYPES = {0: "m7i.xlarge", 1: "inf2.xlarge", 6: "inf2.24xlarge", 12: "inf2.48xlarge"}

_WRAPPER = """#!/bin/sh
export BENCH_NEURON_ROOT='{root}' NEURON_STANDIN_SDK='{sdk}'
export PYTHONPATH='{path}'"${{PYTHONPATH:+:$PYTHONPATH}}"
exec '{python}' {arguments} "$@"
"""


@dataclass(frozen=True)
class StandinHost:
    root: Path
    python: Path
    """The interpreter of the host's virtual environment."""
    sdk: Sdk


def build_host(root: Path, data_python: Path, *, devices: int = 1, sdk: str = DEFAULT_SDK) -> StandinHost:
    """Build a host with so many chips (0: a host that can only compile) below ``root``.

    ``data_python`` is a Python that has torch.
    """
    versions = SDKS[sdk]
    Topology(devices, INSTANCE_TYPES.get(devices, "inf2.custom")).save(root)
    _write(root / "sys/devices/virtual/dmi/id/product_name", INSTANCE_TYPES.get(devices, "inf2.custom"))
    has_driver = devices > 0
    _write(root / "proc/devices", "Character devices:\n  1 mem\n" + ("245 neuron\n" if has_driver else ""))
    if has_driver:
        _write(root / "sys/module/neuron/version", versions.driver)
    for device in range(devices):
        _write(root / f"dev/neuron{device}", "")
        _build_device(root / f"sys/devices/virtual/neuron_device/neuron{device}", versions)
    python = root / f"opt/aws_neuronx_venv_pytorch_{_torch_suffix(versions)}/bin/python"
    _script(python, root, versions, data_python, "")
    tools = root / "opt/aws/neuron/bin"
    _script(tools / "neuron-ls", root, versions, data_python, "-S -m neuron_standin.neuron_ls")
    _script(tools / "neuron-monitor", root, versions, data_python, "-S -m neuron_standin.neuron_monitor")
    _write(root / "usr/bin/dpkg-query", f"#!/bin/sh\nprintf %s {versions.runtime}\n", mode=0o755)
    return StandinHost(root, python, versions)


def _torch_suffix(sdk: Sdk) -> str:
    major, minor, *_ = (sdk.torch_neuronx or "2.9").split(".")
    return f"{major}_{minor}"


def _build_device(device: Path, sdk: Sdk) -> None:
    names = {"arch_type": "NDv3", "instance_type": "Inf2"}
    names["device_name" if sdk.minor >= 26 else "device_type"] = "Inferentia2"
    for name, value in names.items():
        _write(device / "info/architecture" / name, value)
    _write(device / "info/serial_number", "0123456789abcdef")
    for name in ("sram_ecc_uncorrected", "mem_ecc_uncorrected", "mem_ecc_repairable_uncorrected"):
        _write(device / "stats/hardware" / name, "0")
    _write(device / "stats/power/utilization", "POWER_STATUS_VALID,1780000000,8.21,40.50,21.07")
    prefix = "execute" if sdk.minor >= 26 else "infer"
    for core in range(CORES_PER_DEVICE):
        core_dir = device / f"neuron_core{core}"
        _write(core_dir / "info/architecture/arch_type", "NCv2")
        for status in ("success", "completed_with_error", "failed_to_queue", "timed_out"):
            for kind in ("total", "present"):
                _write(core_dir / "stats/status" / f"{prefix}_{status}" / kind, "0")
        for kind in ("total", "present", "peak"):
            _write(core_dir / "stats/memory_usage/device_mem" / kind, "16777216")


def _write(path: Path, text: str, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + ("" if text.endswith("\n") else "\n"))
    path.chmod(mode)


def _script(path: Path, root: Path, sdk: Sdk, python: Path, arguments: str) -> None:
    text = _WRAPPER.format(root=root, sdk=sdk.release, path=STANDIN, python=python, arguments=arguments)
    _write(path, text, mode=0o755)
