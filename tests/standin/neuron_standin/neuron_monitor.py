"""``neuron-monitor -c CONFIG`` of the fake host: a record at once, then one every period, for ever."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from .host import CORES_PER_DEVICE, DEVICE_MEMORY_BYTES, CoreCounters, owner, sysfs_device, topology

Counts = dict[int, dict[str, int]]


def main(arguments: list[str]) -> int:
    period_s = 1.0
    if arguments[:1] == ["-c"]:
        period_s = float(json.loads(Path(arguments[1]).read_text())["period"].removesuffix("s"))
    before, before_s = _counts(), time.monotonic()
    while True:
        now, now_s = _counts(), time.monotonic()
        record = _record(before, now, max(now_s - before_s, 1e-9), period_s)
        sys.stdout.write(json.dumps(record) + "\n")
        sys.stdout.flush()
        before, before_s = now, now_s
        time.sleep(period_s)


def _counts() -> Counts:
    return {core: CoreCounters(core).read() for core in range(topology().cores)}


def _record(before: Counts, now: Counts, elapsed_s: float, period_s: float) -> dict[str, Any]:
    owners = {core: pid for core in now if (pid := owner(core))}
    host = topology()
    return {
        "neuron_runtime_data": [
            _runtime(pid, [core for core in owners if owners[core] == pid], before, now, elapsed_s, period_s)
            for pid in sorted(set(owners.values()))
        ],
        "system_data": {
            "neuron_hw_counters": {
                "period": 2.0,
                "neuron_devices": [_ecc(device) for device in range(host.devices)],
                "error": "",
            }
        },
        "instance_info": {
            "instance_name": "benchmark host",
            "instance_id": "i-0123456789abcdef0",
            "instance_type": host.instance_type,
            "instance_availability_zone": "us-east-1a",
            "instance_region": "us-east-1",
            "ami_id": "ami-0123456789abcdef0",
            "subnet_id": "subnet-0123456789abcdef0",
            "error": "",
        },
        "neuron_hardware_info": {
            "neuron_device_type": "inferentia2",
            "neuron_device_version": "v3",
            "neuroncore_version": "v2",
            "neuron_device_count": host.devices,
            "neuron_device_memory_size": DEVICE_MEMORY_BYTES,
            "neuroncore_per_device_count": CORES_PER_DEVICE,
            "logical_neuroncore_config": 1,
            "error": "",
        },
    }


def _runtime(
    pid: int, cores: list[int], before: Counts, now: Counts, elapsed_s: float, period_s: float
) -> dict[str, Any]:
    total = {name: sum(now[core][name] for core in cores) for name in next(iter(now.values()))}
    latency_s = max(now[core]["latency_ns"] for core in cores) * 1e-9
    percentiles = {f"p{p}": latency_s for p in (0, 1, 25, 50, 75, 99, 100)} if latency_s else None
    in_use = {
        str(core): {
            "neuroncore_utilization": min(
                100.0, (now[core]["busy_ns"] - before[core]["busy_ns"]) * 1e-7 / elapsed_s
            ),
            "effective_flops": 0,
        }
        for core in cores
    }
    report = {
        "neuroncore_counters": {"period": period_s, "neuroncores_in_use": in_use, "error": ""},
        "execution_stats": {
            "period": period_s,
            "error_summary": {
                "generic": 0,
                "numerical": total["completed_with_num_err"],
                "transient": 0,
                "model": 0,
                "runtime": total["timed_out"],
                "hardware": total["hardware"],
            },
            "execution_summary": {
                name: total[name]
                for name in (
                    "completed",
                    "completed_with_err",
                    "completed_with_num_err",
                    "timed_out",
                    "incorrect_input",
                )
            }
            | {"failed_to_queue": 0},
            "latency_stats": {"total_latency": percentiles, "device_latency": percentiles},
            "error": "",
        },
        "memory_used": {
            "period": period_s,
            "neuron_runtime_used_bytes": {"host": 2**20, "neuron_device": 2**24},
            "loaded_models": [],
            "error": "",
        },
    }
    return {"pid": pid, "address": "", "neuron_runtime_tag": "", "error": "", "report": report}


def _ecc(device: int) -> dict[str, int]:
    hardware = sysfs_device(device) / "stats/hardware"

    def count(name: str) -> int:
        path = hardware / name
        return int(path.read_text()) if path.exists() else 0

    return {
        "neuron_device_index": device,
        "mem_ecc_corrected": 0,
        "mem_ecc_uncorrected": count("mem_ecc_uncorrected"),
        "sram_ecc_corrected": 0,
        "sram_ecc_uncorrected": count("sram_ecc_uncorrected"),
    }


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except BrokenPipeError:
        sys.stderr.close()
