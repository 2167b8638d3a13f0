"""What a Neuron host tells about itself without any core being claimed.

Every path hangs below a root that can be changed: tests, and a sysfs that a container mounts elsewhere. A
host with another root is never taken for hardware (see `is_hardware`).
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchlib.errors import BenchError

ROOT_VARIABLE = "BENCH_NEURON_ROOT"
IMDS_VARIABLE = "BENCH_IMDS"
INSTANCE_TYPE_VARIABLE = "BENCH_INSTANCE_TYPE"

TOOL_DIRECTORY = "opt/aws/neuron/bin"
"""On PATH in login shells of AWS's images only, and a service's shell is none."""

STANDIN_MARK = "standin"
"""In the local part of the version of a torch-neuronx that is none. AWS puts a hexadecimal hash there."""

NEURON_LS_TIMEOUT_S = 20.0
NEURON_LS_ATTEMPTS = 4
NEURON_LS_PAUSE_S = 0.25
IMDS_ADDRESS = ("169.254.169.254", 80)
IMDS_TIMEOUT_S = 1.0

_EC2_TYPE = re.compile(r"[a-z][a-z0-9-]*\d[a-z0-9-]*\.[a-z0-9-]+")
_IDENTIFIERS = re.compile(
    r"\b(?:i|ami|subnet|vpc|sg|eni|vol|r)-[0-9a-f]{8,17}\b"  # EC2 resources
    r"|(?<![\w.])\d{12}(?![\w.])"  # accounts
    r"|(?<=arn:aws:)\S+"
    r"|(?i:(?<=serial_number=)|(?<=serial_number: )|(?<=serial: ))[^\s,;]+"
)


def scrub(text: str) -> str:
    """The text without identifiers of instances, images, networks, accounts and devices."""
    return _IDENTIFIERS.sub("[removed]", text)


@dataclass(frozen=True)
class NeuronProcess:
    """A process that holds cores of a device."""

    pid: int
    command: str
    runtime_version: str | None


@dataclass(frozen=True)
class NeuronDevice:
    """One chip as ``neuron-ls`` describes it. Older tools leave out all but the first three fields."""

    index: int
    core_count: int
    memory_bytes: int
    bdf: str | None = None
    cpu_affinity: frozenset[int] = frozenset()
    """CPUs close to the device; empty when unknown."""
    numa_node: int | None = None
    """``None`` also where the host has no NUMA nodes."""
    connected_to: tuple[int, ...] = ()
    core_ids: tuple[int, ...] = ()
    logical_core_config: int | None = None
    instance_type: str | None = None
    processes: tuple[NeuronProcess, ...] = ()


def parse_neuron_ls(text: str) -> tuple[NeuronDevice, ...]:
    """Read the answer of ``neuron-ls --json-output``.

    Raises:
        ValueError: it is not what any known version prints.
    """
    entries = json.loads(text)
    if not isinstance(entries, list):
        raise ValueError("unknown answer of neuron-ls: not a list")  # noqa: TRY004 - of a text's content
    try:
        return tuple(_device(entry) for entry in entries)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"unknown answer of neuron-ls: {error!r}") from error


def _device(entry: Mapping[str, Any]) -> NeuronDevice:
    node = entry.get("numa_node")
    logical = entry.get("logical_neuroncore_config")
    return NeuronDevice(
        index=int(entry["neuron_device"]),
        core_count=int(entry["nc_count"]),
        memory_bytes=int(entry["memory_size"]),
        bdf=entry.get("bdf"),
        cpu_affinity=parse_cpu_list(entry.get("cpu_affinity") or ""),
        # A string in every known version, "-1" where the host has no nodes.
        numa_node=int(node) if node is not None and int(node) >= 0 else None,
        connected_to=tuple(int(device) for device in entry.get("connected_to") or ()),
        core_ids=tuple(int(core) for core in entry.get("neuroncore_ids") or ()),
        logical_core_config=None if logical is None else int(logical),
        instance_type=entry.get("instance_type"),
        processes=tuple(_process(process) for process in entry.get("neuron_processes") or ()),
    )


def _process(entry: Mapping[str, Any]) -> NeuronProcess:
    return NeuronProcess(
        int(entry["pid"]), entry.get("command") or "", entry.get("neuron_runtime_version") or None
    )


def parse_cpu_list(text: str) -> frozenset[int]:
    """CPUs (or cores) of a list such as ``0-3,8``."""
    numbers: set[int] = set()
    for part in filter(None, text.replace(" ", "").split(",")):
        first, _, last = part.partition("-")
        numbers.update(range(int(first), int(last or first) + 1))
    return frozenset(numbers)


def is_hardware(*, own_root: bool, driver_loaded: bool, torch_neuronx: str | None) -> bool:
    """Whether results of this host may be called an accelerator's.

    Real hardware shows itself through the kernel: only a loaded driver puts "neuron" into the kernel's own
    ``/proc/devices``, which no Python package can do. On a host where that is so, a stand-in for
    torch_neuronx is still known by the mark in its version (`STANDIN_MARK`), which its package refuses to be
    imported without. And whoever moves the root has something else than the kernel answer.
    """
    return own_root and driver_loaded and not is_marked(torch_neuronx)


def is_marked(torch_neuronx: str | None) -> bool:
    """Whether a version is a stand-in's."""
    return STANDIN_MARK in (torch_neuronx or "").partition("+")[2].split(".")


class NeuronHost:
    """The host below ``root``: its driver, tools, devices and identity."""

    def __init__(self, root: Path = Path("/"), environ: Mapping[str, str] = os.environ) -> None:
        self.root = root
        # A copy: unlike os.environ it can go to a child process with the rest of this object.
        self._environ = dict(environ)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> NeuronHost:
        """The host below ``BENCH_NEURON_ROOT``, by default this one."""
        return cls(Path(environ.get(ROOT_VARIABLE) or "/"), environ)

    @property
    def own_root(self) -> bool:
        """True when nothing was put in the place of the kernel's own files."""
        return self.root == Path("/")

    def driver_loaded(self) -> bool:
        """Whether the kernel has a driver for Neuron devices; the way to tell a device host from another."""
        return re.search(r"^\s*\d+\s+neuron$", self._read("proc/devices") or "", re.MULTILINE) is not None

    def driver_version(self) -> str | None:
        """Of the driver that is loaded; the installed module may be another one."""
        return self._read("sys/module/neuron/version")

    def runtime_version(self) -> str | None:
        """Of the runtime library, from the package manager that knows it."""
        package = "aws-neuronx-runtime-lib"
        for command in (
            ["dpkg-query", "--show", "--showformat=${Version}", package],
            ["rpm", "--query", "--queryformat=%{VERSION}", package],
        ):
            tool = self.tool(command[0])
            if tool is None:
                continue
            with contextlib.suppress(OSError, subprocess.SubprocessError):
                answer = subprocess.run(
                    [str(tool), *command[1:]], capture_output=True, text=True, timeout=10, check=True
                )
                return answer.stdout.strip() or None
        return None

    def tool(self, name: str) -> Path | None:
        """A program of the host, also where PATH does not lead."""
        if self.own_root:
            found = shutil.which(name, path=self._environ.get("PATH"))
            if found:
                return Path(found)
        for directory in (TOOL_DIRECTORY, "usr/bin"):
            path = self.root / directory / name
            if os.access(path, os.X_OK):
                return path
        return None

    def devices(self) -> tuple[NeuronDevice, ...]:
        """The host's chips and who holds them; none when there is no driver.

        Raises:
            BenchError: there is a driver, but neuron-ls is missing or keeps failing.
        """
        if not self.driver_loaded():
            return ()
        tool = self.tool("neuron-ls")
        if tool is None:
            raise BenchError(
                f"neuron-ls is neither on PATH nor in /{TOOL_DIRECTORY}; install aws-neuronx-tools"
            )
        complaint = ""
        for attempt in range(NEURON_LS_ATTEMPTS):
            # Tools before 2.28 fail when two of them run at the same time.
            time.sleep(NEURON_LS_PAUSE_S * attempt)
            try:
                return self._ask_neuron_ls(tool)
            except (OSError, ValueError, subprocess.SubprocessError) as error:
                complaint = scrub(" ".join(f"{error} {getattr(error, 'stderr', None) or ''}".split()))
        raise BenchError(f"neuron-ls failed {NEURON_LS_ATTEMPTS} times: {complaint}")

    @staticmethod
    def _ask_neuron_ls(tool: Path) -> tuple[NeuronDevice, ...]:
        answer = subprocess.run(
            [str(tool), "--json-output"],
            capture_output=True,
            text=True,
            timeout=NEURON_LS_TIMEOUT_S,
            check=True,
        )
        return parse_neuron_ls(answer.stdout)

    def instance_type(self, devices: Sequence[NeuronDevice] = ()) -> str | None:
        """Such as ``inf2.48xlarge``, found without the network where that is possible.

        The firmware is asked first, which works in containers too; then what neuron-ls told; then
        ``BENCH_INSTANCE_TYPE``; then, only with ``BENCH_IMDS=1``, the instance's metadata service.
        """
        product = self._read("sys/devices/virtual/dmi/id/product_name") or ""
        if _EC2_TYPE.fullmatch(product):
            return product
        told = next((device.instance_type for device in devices if device.instance_type), None)
        told = told or self._environ.get(INSTANCE_TYPE_VARIABLE)
        if told is None and self._environ.get(IMDS_VARIABLE) == "1":
            return instance_type_from_imds()
        return told or None

    def _read(self, path: str) -> str | None:
        return read_text(self.root / path)


def read_text(path: Path) -> str | None:
    """The stripped content of a small file; ``None`` when it cannot be read or is empty."""
    try:
        return path.read_text().strip() or None
    except (OSError, UnicodeDecodeError):
        return None


def instance_type_from_imds(address: tuple[str, int] = IMDS_ADDRESS) -> str | None:
    """Ask the metadata service, version 2; ``None`` when it does not answer at once."""
    try:
        lifetime = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}
        token = _fetch(address, "PUT", "/latest/api/token", lifetime)
        name = _fetch(address, "GET", "/latest/meta-data/instance-type", {"X-aws-ec2-metadata-token": token})
    except (OSError, http.client.HTTPException):
        return None
    return name if _EC2_TYPE.fullmatch(name) else None


def _fetch(address: tuple[str, int], method: str, path: str, headers: Mapping[str, str]) -> str:
    connection = http.client.HTTPConnection(*address, timeout=IMDS_TIMEOUT_S)
    with contextlib.closing(connection):
        connection.request(method, path, headers=dict(headers))
        response = connection.getresponse()
        if response.status != http.client.OK:
            raise http.client.HTTPException(f"{path}: status {response.status}")
        return response.read(4096).decode(errors="replace").strip()
