"""``neuron-ls --json-output`` of the fake host."""

from __future__ import annotations

import fcntl
import json
import sys
from pathlib import Path
from typing import Any

from .host import CORES_PER_DEVICE, DEVICE_MEMORY_BYTES, Topology, owner, root, topology
from .sdk import current


def main(arguments: list[str]) -> int:
    if not set(arguments) <= {"-j", "--json-output"}:
        print(f"unknown flag {arguments[0]}")
        return 1
    with (root() / "run" / "neuron-ls.lock").open("w") as lock:
        if current().tools_exclude_each_other:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                print('level=fatal msg="another neuron-ls is running"', file=sys.stderr)
                return 1
        host = topology()
        if not host.devices:
            print('level=fatal msg="No neuron device found"', file=sys.stderr)
            return 1
        sys.stdout.write(json.dumps([_device(host, index) for index in range(host.devices)]))
    return 0


def _device(host: Topology, index: int) -> dict[str, Any]:
    cores = [index * CORES_PER_DEVICE + core for core in range(CORES_PER_DEVICE)]
    neighbours = [(index - 1) % host.devices, (index + 1) % host.devices]
    device: dict[str, Any] = {
        "neuron_device": index,
        "bdf": f"0000:{index:02x}:1f.0",
        "connected_to": sorted(set(neighbours)) if host.devices > 1 else None,
        "nc_count": CORES_PER_DEVICE,
        "memory_size": DEVICE_MEMORY_BYTES,
        "neuron_processes": [_process(pid) for pid in sorted({pid for pid in map(owner, cores) if pid})],
    }
    if current().tools_tell_cores:
        device |= {"cpu_affinity": "0-3", "numa_node": "-1", "neuroncore_ids": cores}
    if current().minor >= 29:
        device |= {"instance_type": host.instance_type, "instance_id": "i-0123456789abcdef0"}
    return device


def _process(pid: int) -> dict[str, Any]:
    try:
        command = Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ").strip()
    except OSError:
        command = ""
    return {"pid": pid, "command": command, "neuron_runtime_version": current().runtime}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
