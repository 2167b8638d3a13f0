"""What a result was made with: hardware and software, read without importing any of it.

Nothing here asks the network, and nothing that identifies an account or an instance is kept.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import benchlib
from benchlib.backends.base import DeviceDescription
from benchlib.results import Environment

INSTANCE_TYPE_VARIABLE = "BENCH_INSTANCE_TYPE"
IMAGE_VARIABLE = "BENCH_IMAGE"

PRODUCT_NAME = Path("/sys/devices/virtual/dmi/id/product_name")
NEURON_DRIVER = Path("/sys/module/neuron/version")
MEMINFO = Path("/proc/meminfo")

_EC2_TYPE = re.compile(
    r"[a-z][a-z0-9-]*[0-9][a-z0-9-]*\.(?:nano|micro|small|medium|(?:[0-9]+x|x)?large|metal.*)"
)

_PACKAGES = {
    "torch": "torch",
    "transformers": "transformers",
    "numpy": "numpy",
    "torch_neuronx": "torch-neuronx",
    "neuronx_cc": "neuronx-cc",
}
NEURON_SDKS = {
    ("2.7.0.2.8.6734", "2.19.8089"): "2.24.0",
    ("2.7.0.2.9.9357", "2.20.9961"): "2.25.0",
    ("2.8.0.2.10.13553", "2.21.18209"): "2.26.0",
    ("2.8.0.2.10.16998", "2.21.33363"): "2.26.1",
    ("2.9.0.2.11.19912", "2.22.12471"): "2.27.0",
    ("2.9.0.2.12.22436", "2.23.6484"): "2.28.0",
    ("2.9.0.2.13.24727", "2.24.5133"): "2.29.0",
    ("2.9.0.2.13.26312", "2.24.8799"): "2.29.1",
    ("2.9.0.2.14.27725", "2.25.3371"): "2.30.0",
    ("2.9.0.2.15.32035", "2.26.6360"): "2.31.0",
}
"""torch-neuronx and neuronx-cc to the SDK release that has both, by AWS's release manifests. 2.31.1 has the
same two as 2.31.0 and cannot be told from it."""

_AWS_BUILD = re.compile(r"(?P<release>\d+(?:\.\d+)+)(?:\+[0-9a-f]+)?")
"""AWS's builds carry a hash in the local part of their version. What carries something else is not AWS's."""

_RUNTIME_PACKAGE = "aws-neuronx-runtime-lib"

NOT_COMPARED = frozenset({"host", "memory_bytes", "fingerprint"})
"""Fields that may differ between comparable environments: which of several equal hosts it was, and the few
kilobytes by which the memory that a kernel leaves differs from boot to boot."""


def capture(description: DeviceDescription) -> Environment:
    """The environment of this process on the described device.

    The versions that the backend reports win over those found here. A variable wins over the firmware's
    word for the instance type, which containers and virtual machines may hide.
    """
    found = {
        **{field: package_version(package) for field, package in _PACKAGES.items()},
        "neuron_driver": _read(NEURON_DRIVER),
        "neuron_runtime": _runtime_version(),
        **dict((*description.versions, *description.host_versions)),
    }
    found.setdefault("neuron_sdk", neuron_sdk(found["torch_neuronx"], found["neuronx_cc"]))
    environment = Environment(
        hardware=description.hardware,
        device=description.device,
        cores=description.cores or None,
        instance_type=os.environ.get(INSTANCE_TYPE_VARIABLE) or description.instance_type or _instance_type(),
        host=platform.node() or None,
        memory_bytes=_memory_bytes(),
        kernel=platform.release(),
        python=platform.python_version(),
        benchlib=benchlib.__version__,
        image=os.environ.get(IMAGE_VARIABLE) or None,
        fingerprint="",
        **found,
    )
    return environment.model_copy(update={"fingerprint": fingerprint(environment)})


def fingerprint(environment: Environment) -> str:
    """SHA-256 over the fields that make two environments comparable: all but `NOT_COMPARED`."""
    compared = environment.model_dump(mode="json", exclude=set(NOT_COMPARED))
    return hashlib.sha256(json.dumps(compared, sort_keys=True).encode()).hexdigest()


def neuron_sdk(torch_neuronx: str | None, neuronx_cc: str | None) -> str | None:
    """The SDK release that these two belong to; ``None`` for a mixture, an unknown build or a stand-in."""
    builds = [_AWS_BUILD.fullmatch(version or "") for version in (torch_neuronx, neuronx_cc)]
    if not (builds[0] and builds[1]):
        return None
    compiler = ".".join(builds[1]["release"].split(".")[:3])
    return NEURON_SDKS.get((builds[0]["release"], compiler))


def package_version(package: str) -> str | None:
    """The installed version of a distribution, without importing it."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _instance_type() -> str | None:
    name = _read(PRODUCT_NAME)
    return name if name and _EC2_TYPE.fullmatch(name) else None


def _memory_bytes() -> int | None:
    match = re.search(r"^MemTotal:\s+(\d+) kB$", _read(MEMINFO) or "", re.MULTILINE)
    return int(match[1]) * 1024 if match else None


def _runtime_version() -> str | None:
    command = ["dpkg-query", "--show", "--showformat=${Version}", _RUNTIME_PACKAGE]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() or None


def _read(path: Path) -> str | None:
    try:
        return path.read_text().strip() or None
    except OSError:
        return None
