"""The runtime of one process: the cores that it owns, what is loaded on them, and how long a call takes."""

from __future__ import annotations

import ctypes
import itertools
import os
import signal
import sys
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NoReturn

from neuron_standin import host
from neuron_standin.faults import configured, strikes

CORE_MEMORY_BYTES = 16 * 2**30
SERVICE_VARIABLE = "NEURON_STANDIN_SERVICE_MS"
DEFAULT_SERVICE_MS = "1:0.75,10:3.0"
PR_SET_TIMERSLACK = 29

_thread = threading.local()
_prctl = ctypes.CDLL(None).prctl


def log_line(unit: str, place: str, message: str, level: str = "ERROR") -> None:
    now = datetime.now(UTC).strftime("%Y-%b-%d %H:%M:%S.%f")
    ids = f"{os.getpid()}:{threading.get_native_id()}"
    print(f"{now}  {ids} {level}  {unit}:{place}  {message}", file=sys.stderr, flush=True)


def _initialisation_failed() -> NoReturn:
    raise RuntimeError(
        "The PyTorch Neuron Runtime could not be initialized. Neuron Driver issues are logged to your system "
        "logs. See the Neuron Runtime's troubleshooting guide for help on this topic."
    )


def execution_failed(status: int, message: str) -> NoReturn:
    raise RuntimeError(f"Failed to execute the model status={status} message={message}")


@dataclass
class Core:
    number: int
    """On the host."""
    counters: host.CoreCounters
    models: int = 0
    used_bytes: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


class Runtime:
    """Brought up by the first load, for good: the cores stay this process's until it ends."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._claim = host.Claim()
        self._pid: int | None = None
        self._executions = itertools.count()
        self.cores: list[Core] = []
        self.faults = configured()

    def ensure(self) -> None:
        with self._lock:
            if self._pid is None:
                self._start()
            self.refuse_fork()

    def refuse_fork(self) -> None:
        if self._pid != os.getpid():
            log_line("NRT", "nrt_init", "Incompatible runtime state: NRT_STATE_CHILD")
            _initialisation_failed()

    def _start(self) -> None:
        total = host.topology().cores
        if not total:
            log_line("TDRV", "tdrv_get_dev_info", "No neuron device available")
            _initialisation_failed()
        numbers = self._take(total)
        self.cores = [Core(number, host.CoreCounters(number, reset=True)) for number in numbers]
        self._pid = os.getpid()

    def _take(self, total: int) -> list[int]:
        visible = os.environ.get("NEURON_RT_VISIBLE_CORES")
        count = int(os.environ.get("NEURON_RT_NUM_CORES") or 0)
        is_free = not strikes(self.faults.get("cores_taken"))
        if visible or not count:
            wanted = _parse_cores(visible) if visible else list(range(total))
            choices = [wanted]
        else:
            choices = [list(range(start, start + count)) for start in range(total - count + 1)]
        for choice in choices:
            if is_free and all(core < total and self._claim.take(core) for core in choice):
                return choice
            self._claim.release()
        first, last = choices[0][0], choices[0][-1]
        log_line(
            "NRT",
            "nrt_allocate_neuron_cores",
            f"NeuronCore(s) not available - Requested:nc{first}-nc{last} Available:0",
        )
        _initialisation_failed()

    def place(self, start: int, count: int, size_bytes: int) -> list[Core]:
        """Load a model onto cores of this process; a start of -1 means the least used one."""
        self.ensure()
        if count > len(self.cores) or count == 0 or start + max(count, 1) > len(self.cores):
            raise ValueError(f"nc_count {count} at {start} is invalid: {len(self.cores)} cores are visible")
        if start < 0:
            start = min(range(len(self.cores)), key=lambda i: self.cores[i].models)
        cores = self.cores[start : start + max(count, 1)]
        budget = -1 if strikes(self.faults.get("device_memory")) else CORE_MEMORY_BYTES
        if any(core.used_bytes + size_bytes > budget for core in cores):
            log_line("TDRV", "dmem_alloc_internal", f"Failed to alloc DEVICE memory: {size_bytes}")
            raise RuntimeError("Could not load the model status=4 message=Allocation Failure")
        for core in cores:
            core.models += 1
            core.used_bytes += size_bytes
        return cores

    def execute(self, core: Core, batch: int) -> None:
        """Occupy a core for as long as a batch takes."""
        self.refuse_fork()
        if self.faults:
            self._fail_when_told(core, next(self._executions))
        duration_s = self._service_s(core, batch)
        if not getattr(_thread, "is_precise", False):
            _prctl(PR_SET_TIMERSLACK, 1)
            _thread.is_precise = True
        with core.lock:
            began_ns = time.perf_counter_ns()
            time.sleep(duration_s)
            took_ns = time.perf_counter_ns() - began_ns
            core.counters.add("busy_ns", took_ns)
            core.counters.set("latency_ns", took_ns)
            core.counters.add("completed")

    def _service_s(self, core: Core, batch: int) -> float:
        slow = self.faults.get("slow_core")
        factor = 1.0
        if slow and int(slow.value.split(":")[0]) == core.number:
            factor = float(slow.value.split(":")[1])
        return factor * service_ms(batch) * 1e-3

    def _fail_when_told(self, core: Core, executions: int) -> None:
        def struck(name: str) -> bool:
            return strikes(self.faults.get(name), executions)

        device = core.number // host.CORES_PER_DEVICE
        if struck("hang"):
            threading.Event().wait()
        if struck("segfault"):
            os.kill(os.getpid(), signal.SIGSEGV)
        if struck("timeout"):
            core.counters.add("timed_out")
            where = f"on Neuron Device {device} NC {core.number % host.CORES_PER_DEVICE}"
            log_line(
                "TDRV", "exec_consume", f"(FATAL-RT-UNDEFINED-STATE) execution timeout (30000 ms) {where}"
            )
            execution_failed(5, "Timeout Exceeded")
        if struck("sram_error"):
            core.counters.add("hardware")
            host.count_in_sysfs(device, "stats/hardware/sram_ecc_uncorrected")
            execution_failed(1004, "Uncorrectable memory error is detected")
        if struck("hbm_error"):
            core.counters.add("hardware")
            host.count_in_sysfs(device, "stats/hardware/mem_ecc_uncorrected")
            execution_failed(1201, "Uncorrectable HBM memory error is detected")


def _parse_cores(text: str) -> list[int]:
    cores: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        cores.extend(range(int(first), int(last or first) + 1))
    return cores


def service_ms(batch: int) -> float:
    """Between the batch sizes that are given: linear. Beyond them: in proportion to the last two."""
    text = os.environ.get(SERVICE_VARIABLE) or DEFAULT_SERVICE_MS
    if ":" not in text:
        return float(text)
    points = sorted((int(b), float(ms)) for b, _, ms in (part.partition(":") for part in text.split(",")))
    if len(points) == 1 or batch <= points[0][0]:
        return points[0][1]
    index = next((i for i, (b, _) in enumerate(points) if b >= batch), len(points) - 1)
    (b0, ms0), (b1, ms1) = points[index - 1], points[index]
    return ms0 + (ms1 - ms0) * (batch - b0) / (b1 - b0)


runtime = Runtime()
