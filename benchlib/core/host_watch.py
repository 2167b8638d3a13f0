"""What else the host did while something was measured: read from /proc and /sys before and after.

The load that the measurement itself makes does not count, however heavy it is: the CPU time of this process
and of all that it started is taken off the host's. In a container the host's total is still the host's, while
the processes of others cannot be seen there: their load is then found, and has no name.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
SAMPLE_INTERVAL_S = 0.5
"""Of the run queue: a look costs some 20 us, that is 0.004 % of one CPU."""
BUSIEST = 3
CLOCK_TRIES = 10
CLOCK_READINGS = 200

_CPU, _THERMAL = "sys/devices/system/cpu", "thermal_throttle"


@dataclass(frozen=True)
class ClockReading:
    """Three clocks at one moment, nanoseconds."""

    monotonic_ns: int
    """What latencies are taken with. NTP slews it."""
    raw_ns: int
    """The same counter without NTP."""
    realtime_ns: int
    """Can be set."""
    uncertainty_ns: int
    """By how much the moments of the three may lie apart."""


@dataclass(frozen=True)
class ClockFigures:
    """How the clocks went, and what the one that is measured with costs."""

    rate_error_ppm: float
    """Gain of the monotonic clock on its raw counter; positive: it goes fast."""
    uncertainty_ppm: float
    """Of the above."""
    realtime_gain_s: float
    """Of the wall clock on the monotonic one: what it was set by."""
    step_ns: float
    """The smallest time that it can show, or what a reading costs where that is more."""
    source: str | None
    """The kernel's clock source, such as tsc; ``None``: not told."""


@dataclass(frozen=True)
class ForeignProcess:
    """A process that is not ours, and the CPU that it took."""

    name: str
    pid: int
    cores: float
    """CPU seconds per second."""


@dataclass(frozen=True)
class CpuUse:
    """Who had the host's CPUs, on average over the time watched."""

    cpus: int
    foreign_cores: float
    """CPUs kept busy by processes outside our own tree; interrupts are nobody's and left out."""
    stolen_cores: float
    """CPUs that the hypervisor gave to other machines while they had work here."""
    busiest: tuple[ForeignProcess, ...]
    """Up to three of those that lived to the end, the busiest first."""


@dataclass(frozen=True)
class HostActivity:
    """What the host did beside the measurement. ``None``: this host does not tell."""

    elapsed_s: float
    clock: ClockFigures
    cpu: CpuUse | None = None
    runnable: tuple[int, ...] = ()
    """Threads that had or wanted a CPU, ours included, at each look."""
    thermal_throttles: int | None = None
    """How often the CPU that was throttled most was so, by heat."""
    held_back_cores: float | None = None
    """CPUs that the control group's quota withheld, on average."""
    foreign_device_pids: tuple[int, ...] | None = None
    """Processes of others that held the device."""


@dataclass
class HostWatch:
    """Filled when the watch is over."""

    activity: HostActivity | None = None


@dataclass(frozen=True)
class Process:
    """One line of ``/proc/PID/stat``; CPU times in clock ticks."""

    pid: int
    started: int
    """Together with the number this names a process for good."""
    parent: int
    name: str
    ticks: int
    """Of all its threads, those that have ended included."""
    reaped_ticks: int
    """Of its children that have ended and been waited for, and theirs."""

    @property
    def key(self) -> tuple[int, int]:
        """What tells it from a later process with the same number."""
        return self.pid, self.started


@dataclass(frozen=True)
class CpuTicks:
    """CPU time since the host was booted, summed over its CPUs, in clock ticks."""

    cpus: int
    busy: int
    """By processes, the kernel's own included; not by interrupts."""
    stolen: int


@dataclass(frozen=True)
class Snapshot:
    """Counters at one moment."""

    clock: ClockReading
    cpu: CpuTicks | None
    processes: tuple[Process, ...]
    throttles: Mapping[str, int]
    """Times throttled, by file."""
    held_back_us: Mapping[str, int]
    """CPU time withheld, by file."""
    device_pids: frozenset[int] | None


def read_clocks() -> ClockReading:
    """The three clocks, as close together as a few tries bring them."""
    return min((_read_clocks_once() for _ in range(CLOCK_TRIES)), key=lambda reading: reading.uncertainty_ns)


def _read_clocks_once() -> ClockReading:
    before_ns = time.perf_counter_ns()
    raw_ns = time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)
    realtime_ns = time.time_ns()
    after_ns = time.perf_counter_ns()
    return ClockReading((before_ns + after_ns) // 2, raw_ns, realtime_ns, after_ns - before_ns)


def clock_step_ns(read_ns: Callable[[], int] = time.perf_counter_ns) -> float:
    """The smallest difference that a clock shows, or its cost per reading where that is more.

    The best of several stretches counts, since any other may have been interrupted.
    """
    stretches = [_stretch(read_ns) for _ in range(CLOCK_TRIES)]
    cost_ns = min((readings[-1] - readings[0]) / (len(readings) - 1) for readings in stretches)
    step_ns = min(b - a for readings in stretches for a, b in pairwise(readings) if b > a)
    return max(cost_ns, float(step_ns))


def _stretch(read_ns: Callable[[], int]) -> list[int]:
    """Readings one after the other, until the clock has moved."""
    readings = [read_ns() for _ in range(CLOCK_READINGS)]
    while readings[-1] == readings[0]:
        readings.append(read_ns())
    return readings


@dataclass(frozen=True)
class HostSources:
    """Where to look; by default at this host, for this process."""

    root: Path = Path("/")
    """That ``proc`` and ``sys`` hang below."""
    pid: int = field(default_factory=os.getpid)
    """This process and its descendants are ours."""
    read_clocks: Callable[[], ClockReading] = read_clocks
    read_ns: Callable[[], int] = time.perf_counter_ns
    device_pids: Callable[[], Iterable[int] | None] | None = None
    """Processes that hold the device, ours included; its answer ``None``: cannot be told. Must not raise."""


@contextmanager
def watching_host(
    sources: HostSources | None = None, sample_interval_s: float | None = SAMPLE_INTERVAL_S
) -> Iterator[HostWatch]:
    """Watch the host while the body runs: all counters before and after, the run queue now and then.

    Looking through all processes takes about 40 us for each, outside of the body.

    Args:
        sources: where to look; none: at this host.
        sample_interval_s: seconds between two looks at the run queue; none: no thread.
    """
    sources = sources or HostSources()
    watch = HostWatch()
    before = take_snapshot(sources)
    with sampling_run_queue(sources.root / "proc/loadavg", sample_interval_s) as runnable:
        yield watch
    after = take_snapshot(sources)
    step_ns = clock_step_ns(sources.read_ns)
    clock = clock_figures(before.clock, after.clock, step_ns, _clock_source(sources.root))
    watch.activity = compare(before, after, sources.pid, clock, tuple(runnable))


def take_snapshot(sources: HostSources) -> Snapshot:
    """All counters now; what is missing on this host stays empty."""
    proc, cpu = sources.root / "proc", sources.root / _CPU
    device_pids = sources.device_pids() if sources.device_pids else None
    return Snapshot(
        clock=sources.read_clocks(),
        cpu=_cpu_ticks(proc / "stat"),
        processes=tuple(_processes(proc)),
        throttles=dict(_counts(cpu.glob(f"cpu[0-9]*/{_THERMAL}/*_throttle_count"))),
        held_back_us=dict(_quotas(sources)),
        device_pids=None if device_pids is None else frozenset(device_pids),
    )


def compare(
    before: Snapshot, after: Snapshot, pid: int, clock: ClockFigures, runnable: tuple[int, ...] = ()
) -> HostActivity:
    """What happened between two snapshots, from the point of view of the process ``pid``."""
    elapsed_s = (after.clock.monotonic_ns - before.clock.monotonic_ns) * 1e-9
    own = family(before.processes, pid) | family(after.processes, pid)
    held_back_us = _most_growth(before.held_back_us, after.held_back_us)
    return HostActivity(
        elapsed_s=elapsed_s,
        clock=clock,
        cpu=_cpu_use(before, after, own, elapsed_s),
        runnable=runnable,
        thermal_throttles=_most_growth(before.throttles, after.throttles),
        held_back_cores=None if held_back_us is None else held_back_us * 1e-6 / elapsed_s,
        foreign_device_pids=_foreign_device_pids(before, after, own),
    )


def clock_figures(
    before: ClockReading, after: ClockReading, step_ns: float, source: str | None
) -> ClockFigures:
    """How the clocks went from one reading to the other."""
    monotonic_ns = after.monotonic_ns - before.monotonic_ns
    raw_ns = after.raw_ns - before.raw_ns
    return ClockFigures(
        rate_error_ppm=(monotonic_ns - raw_ns) / raw_ns * 1e6,
        uncertainty_ppm=(before.uncertainty_ns + after.uncertainty_ns) / raw_ns * 1e6,
        realtime_gain_s=(after.realtime_ns - before.realtime_ns - monotonic_ns) * 1e-9,
        step_ns=step_ns,
        source=source,
    )


def family(processes: Iterable[Process], pid: int) -> frozenset[tuple[int, int]]:
    """The keys of a process and of all its living descendants."""
    listed = list(processes)
    children: dict[int, list[Process]] = {}
    for process in listed:
        children.setdefault(process.parent, []).append(process)
    found: set[tuple[int, int]] = set()
    waiting = [process for process in listed if process.pid == pid]
    while waiting:
        process = waiting.pop()
        found.add(process.key)
        waiting += children.get(process.pid, [])
    return frozenset(found)


def _cpu_use(
    before: Snapshot, after: Snapshot, own: frozenset[tuple[int, int]], elapsed_s: float
) -> CpuUse | None:
    if before.cpu is None or after.cpu is None:
        return None
    tick_cores = 1 / (TICKS_PER_S * elapsed_s)
    foreign = after.cpu.busy - before.cpu.busy - _own_ticks(before, after, own)
    earlier = {process.key: process.ticks for process in before.processes}
    others = [
        ForeignProcess(p.name, p.pid, (p.ticks - earlier.get(p.key, 0)) * tick_cores)
        for p in after.processes
        if p.key not in own
    ]
    return CpuUse(
        cpus=after.cpu.cpus,
        # The whole is counted in ticks, a process in nanoseconds: a quiet host may come out below 0.
        foreign_cores=max(0.0, foreign * tick_cores),
        stolen_cores=(after.cpu.stolen - before.cpu.stolen) * tick_cores,
        busiest=tuple(sorted((o for o in others if o.cores > 0), key=lambda o: -o.cores)[:BUSIEST]),
    )


def _own_ticks(before: Snapshot, after: Snapshot, own: frozenset[tuple[int, int]]) -> int:
    """CPU of our own processes, those included that lived only between the snapshots.

    A process that has ended is found in the ``reaped_ticks`` of its parent with all that it ever took, so
    that what it had taken before goes off again; one that nobody of ours has waited for is not found.
    """
    earlier = {process.key: process for process in before.processes if process.key in own}
    alive = [process for process in after.processes if process.key in own]
    known = [process for process in alive if process.key in earlier]
    taken = sum(p.ticks for p in alive) - sum(earlier[p.key].ticks for p in known)
    reaped = sum(p.reaped_ticks for p in alive) - sum(earlier[p.key].reaped_ticks for p in known)
    ended = earlier.keys() - {process.key for process in alive}
    return taken + max(0, reaped - sum(earlier[key].ticks + earlier[key].reaped_ticks for key in ended))


def _foreign_device_pids(
    before: Snapshot, after: Snapshot, own: frozenset[tuple[int, int]]
) -> tuple[int, ...] | None:
    """Who held the device before or after, and is none of ours.

    A tool may list a process that has just ended, or one by a number of another process namespace, which in a
    container we are ourselves. So of those listed after the run only the ones count that are seen to live.
    """
    if before.device_pids is None or after.device_pids is None:
        return None
    alive = {process.pid for process in after.processes}
    return tuple(sorted((before.device_pids | (after.device_pids & alive)) - {pid for pid, _ in own}))


def _cpu_ticks(path: Path) -> CpuTicks | None:
    """From proc(5), /proc/stat: user, nice, system, idle, iowait, irq, softirq, steal, ..."""
    lines = [line.split() for line in _text(path).splitlines() if line.startswith("cpu")]
    if not lines or len(lines[0]) < 9:
        return None
    user, nice, system, _idle, _iowait, _irq, _softirq, steal = map(int, lines[0][1:9])
    return CpuTicks(cpus=len(lines) - 1, busy=user + nice + system, stolen=steal)


def _processes(proc: Path) -> Iterator[Process]:
    for path in proc.glob("[0-9]*/stat"):
        # One that ends meanwhile leaves an empty text.
        number_and_name, closed, rest = _text(path).rpartition(")")
        if closed:
            pid, _, name = number_and_name.partition(" (")
            fields = rest.split()  # from the third of proc(5) on
            utime, stime, cutime, cstime = map(int, fields[11:15])
            yield Process(int(pid), int(fields[19]), int(fields[1]), name, utime + stime, cutime + cstime)


def _quotas(sources: HostSources) -> Iterator[tuple[str, int]]:
    """CPU time withheld by the quota of this process' control group and of those around it (version 2)."""
    groups = _text(sources.root / "proc" / str(sources.pid) / "cgroup").splitlines()
    path = next((line.removeprefix("0::/") for line in groups if line.startswith("0::/")), None)
    top = sources.root / "sys/fs/cgroup"
    folders = [] if path is None else [top / path, *(top / path).parents]
    for folder in folders:
        found = re.search(r"^throttled_usec (\d+)$", _text(folder / "cpu.stat"), re.MULTILINE)
        if found and folder.is_relative_to(top):
            yield str(folder), int(found[1])


def _clock_source(root: Path) -> str | None:
    path = root / "sys/devices/system/clocksource/clocksource0/current_clocksource"
    return _text(path).strip() or None


def _counts(paths: Iterable[Path]) -> Iterator[tuple[str, int]]:
    for path in paths:
        text = _text(path).strip()
        if text.isdigit():
            yield str(path), int(text)


def _most_growth(before: Mapping[str, int], after: Mapping[str, int]) -> int | None:
    return max((after[name] - before[name] for name in after.keys() & before.keys()), default=None)


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


@contextmanager
def sampling_run_queue(loadavg: Path, interval_s: float | None) -> Iterator[list[int]]:
    """Look at ``/proc/loadavg`` every so often while the body runs; one number for each look.

    It counts the threads of the whole host that have or want a CPU, but for the one that looks.
    """
    runnable: list[int] = []
    if interval_s is None:
        yield runnable
        return
    over = threading.Event()

    def look() -> None:
        while not over.wait(interval_s):
            # The fourth field, such as 3/215: threads with or waiting for a CPU, and all threads.
            with suppress(IndexError, ValueError):
                queue = int(_text(loadavg).split()[3].partition("/")[0])
                runnable.append(max(0, queue - 1))  # this thread itself has a CPU while it looks

    thread = threading.Thread(target=look, name="host-watch", daemon=True)
    thread.start()
    try:
        yield runnable
    finally:
        over.set()
        thread.join()
