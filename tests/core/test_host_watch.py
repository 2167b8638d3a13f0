"""The host as it was beside a measurement: from files made by hand, and from this machine."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from benchlib.core.host_watch import (
    TICKS_PER_S,
    ClockReading,
    CpuUse,
    HostActivity,
    HostSources,
    Snapshot,
    clock_figures,
    clock_step_ns,
    compare,
    sampling_run_queue,
    take_snapshot,
    watching_host,
)
from benchlib.core.validity import host_quiet
from benchlib.loadgen import Duration, LoadProgress, measure
from tests.loadgen.devices import Sleeper

OURS = 100
ELAPSED_S = 10


class FakeHost:
    """Two CPUs, a clock that stands still until it is told, and processes in files."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.now = ClockReading(monotonic_ns=10**12, raw_ns=10**12, realtime_ns=10**18, uncertainty_ns=100)
        self.device_pids: list[int] | None = []
        self.cpu()
        self.process(1, 0, name="init")
        self.process(OURS, 1, name="bench")
        self.write("proc/loadavg", "0.5 0.5 0.5 4/200 4711")

    def write(self, path: str, text: object) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{text}\n")

    def cpu(self, user_s: float = 0, system_s: float = 0, irq_s: float = 0, stolen_s: float = 0) -> None:
        user, system, irq, stolen = (int(s * TICKS_PER_S) for s in (user_s, system_s, irq_s, stolen_s))
        line = f"{user} 0 {system} 999 7 {irq} 0 {stolen} 0 0"
        self.write("proc/stat", f"cpu  {line}\ncpu0 {line}\ncpu1 {line}\nintr 5 5\nctxt 7")

    def process(
        self,
        pid: int,
        parent: int,
        cpu_s: float = 0,
        reaped_s: float = 0,
        *,
        name: str = "x",
        started: int = 1,
    ) -> None:
        own, reaped = int(cpu_s * TICKS_PER_S), int(reaped_s * TICKS_PER_S)
        head = f"{pid} ({name}) S {parent} 0 0 0 -1 0 0 0 0 0"
        self.write(f"proc/{pid}/stat", f"{head} {own} 0 {reaped} 0 20 0 1 0 {started} 0 0")

    def end(self, pid: int) -> None:
        (self.root / f"proc/{pid}/stat").unlink()

    def pass_time(self, elapsed_s: float = ELAPSED_S, raw_s: float | None = None) -> None:
        self.now = ClockReading(
            self.now.monotonic_ns + int(elapsed_s * 1e9),
            self.now.raw_ns + int((raw_s or elapsed_s) * 1e9),
            self.now.realtime_ns + int(elapsed_s * 1e9),
            100,
        )

    def watch(self, happening: Callable[[FakeHost], object]) -> HostActivity:
        """What is seen when this happens within ten seconds."""
        sources = HostSources(
            self.root, OURS, lambda: self.now, count(0, 50).__next__, lambda: self.device_pids
        )
        with watching_host(sources, sample_interval_s=None) as watch:
            happening(self)
            self.pass_time()
        assert watch.activity
        return watch.activity

    def cpu_use(self, happening: Callable[[FakeHost], object]) -> CpuUse:
        found = self.watch(happening).cpu
        assert found
        return found


@pytest.fixture
def fake(tmp_path: Path) -> FakeHost:
    return FakeHost(tmp_path)


def test_our_own_load_does_not_count(fake: FakeHost) -> None:
    fake.process(101, OURS, 3)
    fake.process(102, 101)

    def load(host: FakeHost) -> None:
        host.cpu(user_s=15, system_s=4)
        host.process(OURS, 1, 8)
        host.process(101, OURS, 3 + 6)
        host.process(102, 101, 1)
        host.process(103, 102, 4, started=9)  # began meanwhile

    cpu = fake.cpu_use(load)
    assert cpu.foreign_cores == pytest.approx(0)
    assert cpu.busiest == ()
    assert cpu.cpus == 2


def test_the_load_of_others_counts_and_is_named(fake: FakeHost) -> None:
    fake.process(7, 1, 50, name="tmux: (a b) server")

    def load(host: FakeHost) -> None:
        host.cpu(user_s=10, irq_s=5, stolen_s=0.5)
        host.process(OURS, 1, 4)
        host.process(7, 1, 51, name="tmux: (a b) server")
        host.process(8, 1, 3, name="make", started=9)

    cpu = fake.cpu_use(load)
    assert cpu.foreign_cores == pytest.approx(0.6)
    assert cpu.stolen_cores == pytest.approx(0.05)
    named = [(p.name, p.pid, p.cores) for p in cpu.busiest]
    assert named == [("make", 8, pytest.approx(0.3)), ("tmux: (a b) server", 7, pytest.approx(0.1))]


def test_children_that_have_ended_are_ours_without_what_they_took_before(fake: FakeHost) -> None:
    fake.process(101, OURS, 20)

    def load(host: FakeHost) -> None:
        host.cpu(user_s=9)
        host.end(101)  # took 2 more
        host.process(OURS, 1, 1, reaped_s=22 + 6)  # and so did one that came and went

    assert fake.cpu_use(load).foreign_cores == pytest.approx(0)


def test_a_child_that_nobody_of_ours_waited_for_makes_nobody_guilty(fake: FakeHost) -> None:
    fake.process(101, OURS, 500)

    def load(host: FakeHost) -> None:
        host.cpu(user_s=3)
        host.end(101)
        host.process(OURS, 1, 3)

    assert fake.cpu_use(load).foreign_cores == pytest.approx(0)


def test_an_orphan_of_ours_stays_ours_and_a_reused_number_does_not(fake: FakeHost) -> None:
    fake.process(101, OURS)
    fake.process(102, 101)
    fake.process(103, OURS)

    def load(host: FakeHost) -> None:
        host.cpu(user_s=5)
        host.end(101)
        host.process(102, 1, 3)
        host.process(103, 1, 2, started=9, name="cron")

    cpu = fake.cpu_use(load)
    assert cpu.foreign_cores == pytest.approx(0.2)
    assert [p.name for p in cpu.busiest] == ["cron"]


def test_throttling_and_quotas_are_what_grew_meanwhile(fake: FakeHost) -> None:
    thermal, group = (
        "sys/devices/system/cpu/cpu{}/thermal_throttle/{}_throttle_count",
        "sys/fs/cgroup/a/b/cpu.stat",
    )
    for cpu, kind in ((0, "core"), (0, "package"), (1, "core")):
        fake.write(thermal.format(cpu, kind), 7)
    fake.write(f"proc/{OURS}/cgroup", "0::/a/b/c")
    fake.write(group, "usage_usec 5\nnr_throttled 1\nthrottled_usec 1000000")
    fake.write("sys/fs/cpu.stat", "throttled_usec 0")  # outside of the control groups

    def heat(host: FakeHost) -> None:
        host.write(thermal.format(0, "package"), 9)
        host.write(group, "usage_usec 5\nnr_throttled 9\nthrottled_usec 3000000")
        host.write("sys/fs/cpu.stat", "throttled_usec 99000000")

    quiet, hot = fake.watch(lambda _: None), fake.watch(heat)
    assert (quiet.thermal_throttles, quiet.held_back_cores) == (0, 0)
    assert (hot.thermal_throttles, hot.held_back_cores) == (2, pytest.approx(0.2))


def test_what_the_host_does_not_tell_is_left_out(fake: FakeHost) -> None:
    fake.device_pids = None
    fake.write("proc/stat", "nothing known")
    activity = fake.watch(lambda _: None)
    assert activity == HostActivity(elapsed_s=10, clock=activity.clock)
    assert activity.clock.source is None


@pytest.mark.parametrize(
    ("before", "after", "foreign"),
    [
        ([], [OURS, 101], ()),
        ([7], [OURS], (7,)),
        ([], [OURS, 7], (7,)),
        ([9], [], (9,)),
        ([], [4711], ()),  # not to be seen: it has ended, or it is our own number outside of this container
    ],
)
def test_strangers_on_the_device_are_found(
    fake: FakeHost, before: list[int], after: list[int], foreign: tuple[int, ...]
) -> None:
    fake.process(7, 1)
    fake.process(101, OURS)
    fake.device_pids = before
    assert fake.watch(lambda host: setattr(host, "device_pids", after)).foreign_device_pids == foreign


def test_a_slewed_clock_and_a_wall_clock_that_was_set_are_seen(fake: FakeHost) -> None:
    fake.write("sys/devices/system/clocksource/clocksource0/current_clocksource", "hpet")

    def slew(host: FakeHost) -> None:
        host.pass_time(elapsed_s=990, raw_s=991)
        host.now = replace(host.now, realtime_ns=host.now.realtime_ns - 2 * 10**9)

    activity = fake.watch(slew)
    assert activity.elapsed_s == pytest.approx(1000)
    assert activity.clock.rate_error_ppm == pytest.approx(-1e6 / 1001)
    assert activity.clock.uncertainty_ppm == pytest.approx(0.0002, rel=0.01)
    assert activity.clock.realtime_gain_s == pytest.approx(-2)
    assert (activity.clock.source, activity.clock.step_ns) == ("hpet", 50)


def test_a_steady_clock_is_seen_as_one(fake: FakeHost) -> None:
    clock = fake.watch(lambda _: None).clock
    assert (clock.rate_error_ppm, clock.realtime_gain_s) == (0, 0)


@pytest.mark.parametrize(
    ("readings_ns", "step_ns"),
    [
        (count(0, 60), 60),  # as fine as its reading allows
        ((4_000_000 * (k // 300) for k in count()), 4_000_000),  # jiffies
        ((k * 60 + 10**7 * (k // 200) for k in count()), 60),  # interrupted now and then
    ],
)
def test_how_short_a_time_a_clock_can_tell(readings_ns: Iterator[int], step_ns: float) -> None:
    assert clock_step_ns(readings_ns.__next__) == step_ns


def test_the_clock_of_this_machine_goes_steadily() -> None:
    sources = HostSources()
    before = sources.read_clocks()
    until(lambda: time.monotonic_ns() > before.monotonic_ns + 100_000_000)
    clock = clock_figures(before, sources.read_clocks(), clock_step_ns(), None)
    assert abs(clock.rate_error_ppm) < 500 + clock.uncertainty_ppm
    assert 0 < clock.step_ns < 1e6


def until(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline_s, "it never came"
        time.sleep(0.01)


def test_the_run_queue_is_looked_at_while_the_body_runs(fake: FakeHost) -> None:
    with sampling_run_queue(fake.root / "proc/loadavg", 0.001) as runnable:
        until(lambda: len(runnable) >= 3)
        fake.write("proc/loadavg", "garbage")
    assert set(runnable) == {4 - 1}


def test_a_body_that_fails_leaves_no_thread_and_no_figures(fake: FakeHost) -> None:
    with pytest.raises(ZeroDivisionError), watching_host(HostSources(fake.root), 0.001) as watch:  # noqa: PT012
        assert "host-watch" in {thread.name for thread in threading.enumerate()}
        _ = 1 / 0
    assert "host-watch" not in {thread.name for thread in threading.enumerate()}
    assert watch.activity is None


BUSY = """
import os, sys
if os.fork():
    os._exit(0)  # so that the busy one is nobody's child
import threading
def leave():
    sys.stdin.read()
    os._exit(0)
print(os.getpid(), flush=True)
threading.Thread(target=leave, daemon=True).start()
while True:
    pass
"""


@contextmanager
def busy_stranger() -> Iterator[int]:
    """A process that is no descendant of ours and keeps a CPU busy until its input is closed; its number."""
    with subprocess.Popen(
        [sys.executable, "-c", BUSY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout
        pid = int(child.stdout.readline())
        yield pid
    until(lambda: not Path(f"/proc/{pid}").exists())


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def foreign_cores(before: Snapshot, after: Snapshot, pid: int) -> float:
    clock = clock_figures(before.clock, after.clock, 0, None)
    cpu = compare(before, after, pid, clock).cpu
    assert cpu
    return cpu.foreign_cores


def adopted(snapshot: Snapshot, pid: int) -> Snapshot:
    """The same, with this process a child of ours."""
    processes = (replace(p, parent=os.getpid()) if p.pid == pid else p for p in snapshot.processes)
    return replace(snapshot, processes=tuple(processes))


def test_a_busy_loop_beside_a_measurement_is_seen_unless_it_is_ours() -> None:
    seen: list[LoadProgress] = []
    with busy_stranger() as pid:
        enough_s = cpu_s(pid) + 0.4
        before = take_snapshot(HostSources())
        with watching_host() as watch:
            measure(
                Sleeper(0.002),
                (),
                workers=2,
                batches_per_worker=5,
                stop=Duration(1e6),
                interrupted=lambda: cpu_s(pid) >= enough_s and bool(seen) and seen[-1].batches > 100,
                on_progress=seen.append,
            )
        after = take_snapshot(HostSources())
        stranger_cores = (cpu_s(pid) - enough_s + 0.4) / watch.activity.elapsed_s if watch.activity else 0

    assert watch.activity
    assert watch.activity.cpu
    check = host_quiet(watch.activity.cpu)
    assert not check.passed
    assert check.figure is not None
    assert check.figure > check.limit
    seen = foreign_cores(before, after, os.getpid())
    adopted_cores = foreign_cores(adopted(before, pid), adopted(after, pid), os.getpid())
    assert seen - adopted_cores > 0.6 * stranger_cores


def test_a_child_of_ours_that_burns_and_ends_is_no_stranger() -> None:
    burn = "import time\nwhile time.process_time() < 0.4: pass"
    before = take_snapshot(HostSources())
    subprocess.run([sys.executable, "-c", burn], check=True)
    after = take_snapshot(HostSources())

    elapsed_s = (after.clock.monotonic_ns - before.clock.monotonic_ns) * 1e-9
    nobody = -1
    ours, strangers = foreign_cores(before, after, os.getpid()), foreign_cores(before, after, nobody)
    assert strangers - ours > 0.25 / elapsed_s
