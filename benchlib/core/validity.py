"""Can a measurement be believed? Evidence in, checks out; nothing here looks at the host by itself.

A wrong number is worse than no number, and a check that cries wolf is soon ignored. So each limit is a named
constant with its reason, and those that judge noise were tried on simulated healthy measurements: with up to
3 % noise from round to round, fewer than 1 in 100 fails any one of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from benchlib.core.host_watch import ClockFigures, CpuUse, HostActivity
from benchlib.loadgen.open_loop import OpenLoopRun
from benchlib.loadgen.server_summary import BACKLOG_TOLERANCE, last_waits_ns
from benchlib.loadgen.stamps import Stamps, worker_rates_per_s
from benchlib.loadgen.topology import FREE_LOCK_SHARE
from benchlib.results import (
    COMPLETE,
    PERCENTILES,
    Check,
    Environment,
    HarnessOverhead,
    LatencySummary,
    Round,
    samples_needed,
)

LITTLES_LAW_TOLERANCE = 0.02
"""An identity for equally fast workers; a few per cent between real ones enter squared."""

SLOWEST_WORKER_TOLERANCE = 0.10
"""Far above the noise of equal cores, and far below what sharing one costs, which is half. A neighbour seldom
slows the same worker down in most rounds, and the median over the rounds is what counts."""

DRIFT_LIMIT = 0.03
"""From the first round to the last: less than this no comparison with another night would notice."""
DRIFT_FALSE_ALARMS = 0.005
"""Of measurements that do not drift, both directions together."""
ROUND_NOISE = 0.02
"""What rounds of an unchanged program are taken to scatter by before they are looked at. Nightly figures of
one vary by 1.4 % in the median."""
ROUND_NOISE_WEIGHT = 4
"""In degrees of freedom: from seven rounds on, their own scatter outweighs `ROUND_NOISE`."""
FEWEST_ROUNDS = 3
"""Two always lie on a line."""

SLOW_ROUND_LIMIT = 0.10
"""One such round of ten takes 1 % off the whole."""
SLOW_ROUND_DEVIATIONS = 5
"""Or, where that is more, so many standard deviations, estimated by the median absolute one: the worst of
many rounds is looked at (for single values Leys et al., J. Exp. Soc. Psychol. 49, 2013, advise 2.5 to 3).
"""

CEILING_SHARE = 0.95
"""Of what the latency allows: with less, the harness is a visible part of the figure."""
OVERHEAD_SHARE = 0.01
"""Of a call's latency that the loop around it may cost: half of Little's tolerance."""

LOCK_SLOWDOWN = 0.10
"""Of the median call beside what the device alone takes: so much may its memory or shared caches cost."""

FOREIGN_CORES = 0.25
"""CPUs that others may keep busy on a small host. Leaves room for what every host runs at rest, while a
single busy loop gets half a CPU even where the workers want all of them."""
FOREIGN_SHARE = 0.05
"""Of a large host's CPUs: with 19 in 20 left, there is a free one for every worker."""
LOST_TIME_SHARE = 0.01
"""Of the workers' time that a hypervisor or a quota may take, if nobody else is hit: half of Little's
tolerance."""
FEWEST_LOOKS = 5
"""At the run queue: a median of fewer may be one burst."""

CLOCK_RATE_PPM = 500.0
"""The kernel corrects its clock's frequency by no more (MAXFREQ in its timex.h); 0.05 % harms no figure."""
CLOCK_STEP_SHARE = 0.01
"""Of a call's latency that the clock may blur. A tsc or kvm-clock blurs some 50 ns, an hpet or acpi_pm over a
microsecond, jiffies milliseconds."""
WALL_CLOCK_STEP_S = 0.1
"""More was no slewing but a step (NTP steps from 0.128 s on)."""

_MAD_TO_DEVIATION = 1.4826


@dataclass(frozen=True)
class Course:
    """How a run went."""

    rounds_done: int
    rounds_asked: int | None = None
    """``None``: until a time or a precision was reached."""
    interrupted: bool = False
    satisfied: bool = True
    """The stop rule had enough; ``False``: the room for its stamps ran out first."""
    settled: bool | None = None
    """The rate had settled before the first round; ``None``: a fixed warm-up was asked for."""


@dataclass(frozen=True)
class LockUse:
    """What workers of one interpreter ask of its lock."""

    workers: int
    """That share the lock."""
    cpu_ns: float
    """The calling thread's CPU per call: no less than the time under the lock."""
    service_ns: float
    """Median time of a call when nothing else runs."""
    workers_per_core: float = 1.0
    """Calls that wait for one another at the device itself take so many times as long."""

    @property
    def share(self) -> float:
        """Of the time in which the lock would be held, at most; above 1 it cannot be."""
        return self.workers * self.cpu_ns / self.service_ns


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What is known of a measurement. What is missing is not checked."""

    total: Round
    """All rounds together."""
    batch_size: int
    workers: int
    rounds: tuple[Round, ...] = ()
    worker_rates_per_s: tuple[tuple[float, ...], ...] = ()
    """Batches per second, by round and worker: see `rates_by_round`."""
    course: Course | None = None
    overhead: HarnessOverhead | None = None
    lock: LockUse | None = None
    """``None``: no two workers share an interpreter, or none is used per call."""
    host: HostActivity | None = None
    environments: tuple[Environment, Environment] | None = None
    """At the start and at the end."""
    arrivals: OpenLoopRun | None = None
    """Of the server scenario. There rounds and workers follow the arrivals, not the device, so that
    `littles_law`, `no_drift`, `no_slow_round` and `harness_ceiling` have no meaning."""


def validity(evidence: Evidence) -> tuple[Check, ...]:
    """All checks that the evidence allows."""
    return (
        enough_samples(evidence.total.latency),
        *(_closed_loop(evidence) if evidence.arrivals is None else (arrivals_kept_up(evidence.arrivals),)),
        *((worker_balance(evidence.worker_rates_per_s),) if evidence.worker_rates_per_s else ()),
        *(_course(evidence.course, evidence) if evidence.course else ()),
        *((harness_overhead(evidence.overhead),) if evidence.overhead else ()),
        *(_host(evidence.host, evidence) if evidence.host else ()),
        *((environment_unchanged(*evidence.environments),) if evidence.environments else ()),
    )


def _closed_loop(evidence: Evidence) -> Iterator[Check]:
    total, rates = evidence.total, [r.throughput_inf_per_s for r in evidence.rounds]
    yield littles_law(total, evidence.batch_size, evidence.workers)
    if rates:
        yield no_drift(rates)
        yield no_slow_round(rates)
    if evidence.lock:
        yield interpreter_lock(evidence.lock, total.latency)
    if evidence.overhead:
        yield harness_ceiling(evidence.overhead, total.throughput_inf_per_s / evidence.batch_size)


def _course(course: Course, evidence: Evidence) -> Iterator[Check]:
    yield complete(course)
    if evidence.arrivals is None or course.settled is not None:
        yield warmed_up(course)


def _host(host: HostActivity, evidence: Evidence) -> Iterator[Check]:
    yield clock_sane(host.clock)
    yield clock_fine(host.clock, evidence.total.latency)
    if host.cpu:
        yield host_quiet(host.cpu)
        yield no_steal(host.cpu, evidence.workers)
        yield run_queue(host.runnable, host.cpu.cpus, evidence.workers)
    if host.thermal_throttles is not None:
        yield no_throttling(host.thermal_throttles)
    if host.held_back_cores is not None:
        yield cpu_quota(host.held_back_cores, evidence.workers)
    if host.foreign_device_pids is not None:
        yield no_foreign_device_processes(host.foreign_device_pids)


def rates_by_round(stamps: Stamps) -> tuple[tuple[float, ...], ...]:
    """Batches per second of each worker in each round, for `Evidence.worker_rates_per_s`."""
    rounds = (worker_rates_per_s(stamps.round(r)) for r in range(stamps.rounds))
    return tuple(tuple(float(rate) for rate in rates) for rates in rounds)


def littles_law(total: Round, batch_size: int, workers: int) -> Check:
    """Throughput x mean latency / batch size must be the number of busy workers (Little, 1961).

    A missing worker, a stopped clock or a latency in the wrong unit all show here.
    """
    mean_s = (total.latency.mean_ms or 0.0) / 1e3
    busy = total.throughput_inf_per_s * mean_s / batch_size
    return _at_most(
        "littles_law",
        abs(busy / workers - 1),
        LITTLES_LAW_TOLERANCE,
        "relative error",
        f"Throughput x mean latency / batch size is {busy:.2f} busy workers of {workers}.",
        "The workers were unequally fast or not all busy: look for a slow or shared core.",
    )


def worker_balance(rates_per_s: Sequence[Sequence[float]]) -> Check:
    """The slowest worker keeps up with the median of the others, in the median of the rounds.

    A neighbour that takes a core for one round slows one worker down then; a bad core is slow in all of them.
    ``rates_per_s``: by round and worker, all rounds with the same workers.
    """
    shares = _shares_of_the_others(np.asarray(rates_per_s))
    slowest = int(shares.argmin())
    behind = max(0.0, 1 - float(shares[slowest]))
    return _at_most(
        "worker_balance",
        behind,
        SLOWEST_WORKER_TOLERANCE,
        "relative difference",
        "There is one worker: nothing to compare it with."
        if len(shares) == 1
        else f"The slowest worker, number {slowest}, was {behind:.1%} below the median of the others.",
        "Look for a core that is shared, throttled or broken, and give every replica as many workers.",
    )


def _shares_of_the_others(rates_per_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each worker's rate over the median of all others, median over the rounds; shape (workers,)."""
    workers = rates_per_s.shape[1]
    if workers == 1:
        return np.ones(1)
    others = [np.median(np.delete(rates_per_s, w, axis=1), axis=1) for w in range(workers)]
    shares: NDArray[np.float64] = np.median(rates_per_s.T / np.stack(others), axis=1)
    return shares


def enough_samples(latency: LatencySummary) -> Check:
    """There are enough batches for a median; higher percentiles that are blank are named."""
    missing = [name for name in PERCENTILES if getattr(latency, name) is None]
    takes = ", ".join(f"P{PERCENTILES[name]:g} takes {samples_needed(PERCENTILES[name])}" for name in missing)
    return _at_least(
        "enough_samples",
        latency.samples,
        samples_needed(PERCENTILES["p50_ms"]),
        "batches",
        f"{latency.samples} batches were measured{f', and {takes}' if takes else ''}.",
        "Measure more batches or rounds.",
    )


def no_drift(throughputs: Sequence[float]) -> Check:
    """The rounds show no trend that noise does not explain and that is large enough to matter.

    The figure is the change from the first round to the last along a straight line, over the mean. Its limit
    is `DRIFT_LIMIT` or, where that is more, what a line through pure noise stays below (Student's t). Three
    rounds tell next to nothing of their own noise, so that it is estimated together with what such noise is
    known to be (the moderated t of Smyth, Stat. Appl. Genet. Mol. Biol. 3, 2004). So three quiet rounds show
    a trend of 12 %, five one of 8 %, ten one of 4 %.
    """
    n = len(throughputs)
    if n < FEWEST_ROUNDS:
        advice = f"It takes {FEWEST_ROUNDS} rounds to tell a trend, there are {n}."
        return Check(name="no_drift", passed=True, advice=advice)
    change, noise = _trend(np.asarray(throughputs))
    limit = max(DRIFT_LIMIT, noise)
    return _at_most(
        "no_drift",
        abs(change),
        limit,
        "relative change",
        f"From the first round to the last the throughput changed by {change:+.1%}; "
        f"from {limit:.1%} on it counts as a trend.",
        "Warm up for longer if it rises; look at temperature, clocks and memory if it falls.",
    )


def _trend(throughputs: NDArray[np.float64]) -> tuple[float, float]:
    """Relative change from the first round to the last along a straight line, and the most that is noise."""
    relative = throughputs / throughputs.mean() - 1
    n = relative.size
    position = np.arange(n) - (n - 1) / 2
    squares = float(position @ position)
    slope = float(position @ relative) / squares
    residuals = relative - slope * position
    freedom = n - 2 + ROUND_NOISE_WEIGHT
    variance = (float(residuals @ residuals) + ROUND_NOISE_WEIGHT * ROUND_NOISE**2) / freedom
    return slope * (n - 1), student_t(DRIFT_FALSE_ALARMS, freedom) * math.sqrt(variance / squares) * (n - 1)


def student_t(alarms: float, freedom: int) -> float:
    """What the absolute value of Student's t exceeds in a share ``alarms`` of cases.

    Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.5; from five degrees of freedom on it is
    within 1 % for the shares used here.
    """
    z, v = NormalDist().inv_cdf(1 - alarms / 2), freedom
    return (
        z
        + (z**3 + z) / (4 * v)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * v**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * v**3)
    )


def no_slow_round(throughputs: Sequence[float]) -> Check:
    """No single round was much slower than the median round. It takes three rounds to tell."""
    rates = np.asarray(throughputs)
    median = float(np.median(rates))
    deviation = float(np.median(np.abs(rates - median))) * _MAD_TO_DEVIATION / median
    slowest = int(rates.argmin())
    behind = 1 - float(rates[slowest]) / median
    return _at_most(
        "no_slow_round",
        behind,
        max(SLOW_ROUND_LIMIT, SLOW_ROUND_DEVIATIONS * deviation),
        "relative difference",
        f"The slowest of {len(rates)} rounds, index {slowest}, was {behind:.1%} below the median.",
        "Something disturbed it for a while: measure again on a quiet host.",
    )


def complete(course: Course) -> Check:
    """All rounds that were asked for are there. An interrupted run is never valid, whatever it has."""
    done, asked = course.rounds_done, course.rounds_asked
    passed = not course.interrupted and (asked is None or done >= asked)
    found = f"{done} rounds were measured" + (f" of {asked}." if asked is not None else ".")
    if course.interrupted:
        found += " The run was interrupted: start it again."
    elif not passed:
        found += " Some are missing: start it again."
    elif not course.satisfied:
        found += " The room for stamps ran out before the stop rule had enough: make rounds shorter."
    return Check(name=COMPLETE, passed=passed, figure=done, limit=asked, unit="rounds", advice=found)


def warmed_up(course: Course) -> Check:
    """The rate had settled before anything counted."""
    advice = {
        None: "A fixed number of warm-up batches was asked for and made.",
        True: "The rate had settled before the first round.",
        False: "The rate had not settled when the warm-up's time was over. "
        "Something on the host still changes: wait for it, or measure more rounds.",
    }[course.settled]
    return Check(name="warmed_up", passed=course.settled is not False, advice=advice)


def harness_ceiling(overhead: HarnessOverhead, measured_batches_per_s: float) -> Check:
    """The harness can show what the latency allows, so that the device and not the lock sets the rate.

    An ideal device in the same harness is the proof, or the measurement itself where it shows more: the ideal
    one sleeps, and waking up costs a short call much. Neither reaches the limit when calls wait for one
    another, on the interpreter's lock or for a CPU.
    """
    shown = max(overhead.share_of_ideal, measured_batches_per_s / overhead.ideal_batches_per_s)
    return _at_least(
        "harness_ceiling",
        shown,
        CEILING_SHARE,
        "ratio",
        f"The harness shows {shown:.1%} of what calls of {overhead.service_ms:.3f} ms allow.",
        "It is itself the limit: use more processes, the native loop or fewer workers.",
    )


def harness_overhead(overhead: HarnessOverhead) -> Check:
    """The loop around a call costs next to nothing of it."""
    return _at_most(
        "harness_overhead",
        overhead.share_of_latency,
        OVERHEAD_SHARE,
        "ratio",
        f"The loop costs {overhead.cost_per_call_ns:.0f} ns per call, "
        f"{overhead.share_of_latency:.2%} of its latency.",
        "Use the native loop or a larger batch.",
    )


def interpreter_lock(lock: LockUse, latency: LatencySummary) -> Check:
    """Calls of workers that share an interpreter's lock are no slower than a call alone.

    Only where the lock could be busy (`FREE_LOCK_SHARE`): elsewhere it is not what slows them down.
    """
    alone_ns = lock.service_ns * max(1.0, lock.workers_per_core)
    slower = (latency.p50_ms or 0.0) * 1e6 / alone_ns - 1
    found = f"{lock.workers} workers would hold one interpreter's lock up to {lock.share:.0%} of the time"
    if lock.share <= FREE_LOCK_SHARE:
        advice = f"{found}: it is free."
        return Check(name="interpreter_lock", passed=True, figure=slower, unit="ratio", advice=advice)
    return _at_most(
        "interpreter_lock",
        slower,
        LOCK_SLOWDOWN,
        "ratio",
        f"{found}, and the median call takes {slower:+.1%} beside what the device alone takes.",
        "The lock may starve the workers: take worker_mode auto, native or process.",
    )


def host_quiet(cpu: CpuUse) -> Check:
    """Nobody else kept the host's CPUs busy; our own load does not count."""
    limit = max(FOREIGN_CORES, FOREIGN_SHARE * cpu.cpus)
    listed = ", ".join(f"{p.name} ({p.pid}) {p.cores:.2f}" for p in cpu.busiest if p.cores >= 0.01)
    named = f"the busiest: {listed}" if listed else "they had ended or cannot be seen from here"
    return _at_most(
        "host_quiet",
        cpu.foreign_cores,
        limit,
        "cores",
        f"Others kept {cpu.foreign_cores:.2f} of {cpu.cpus} CPUs busy.",
        f"Stop them and measure again ({named}).",
    )


def no_steal(cpu: CpuUse, workers: int) -> Check:
    """The hypervisor gave our CPUs to nobody else. If it did, assume that it hit the workers."""
    return _lost_time(
        "no_steal",
        cpu.stolen_cores / min(workers, cpu.cpus),
        "The hypervisor took",
        "Use an instance whose CPUs are not shared, such as any but the burstable ones.",
    )


def cpu_quota(held_back_cores: float, workers: int) -> Check:
    """No control group's quota stopped our threads."""
    return _lost_time(
        "cpu_quota",
        held_back_cores / workers,
        "The CPU quota of this container or service took",
        "Raise or remove the quota.",
    )


def _lost_time(name: str, share: float, who: str, todo: str) -> Check:
    found = f"{who} {share:.2%} of the workers' time, at most."
    return _at_most(name, share, LOST_TIME_SHARE, "ratio", found, todo)


def run_queue(runnable: Sequence[int], cpus: int, workers: int) -> Check:
    """No more threads wanted to run than there are CPUs, or workers where those are more, and one to watch.

    Shows what the CPU time of others does not: helper threads of our own that fight with the workers.
    """
    if len(runnable) < FEWEST_LOOKS:
        advice = f"Not checked: the run was over after {len(runnable)} looks at the run queue."
        return Check(name="run_queue", passed=True, advice=advice)
    typical = float(np.median(runnable))
    return _at_most(
        "run_queue",
        typical,
        max(cpus, workers) + 1,
        "threads",
        f"{typical:g} threads wanted to run at once, in the median, on {cpus} CPUs.",
        "Stop other work, and keep libraries from starting threads (OMP_NUM_THREADS=1).",
    )


def no_throttling(thermal_throttles: int) -> Check:
    """No CPU was slowed down by heat."""
    return _at_most(
        "no_throttling",
        thermal_throttles,
        0,
        "times",
        f"A CPU was throttled by heat {thermal_throttles} times, at most.",
        "See to the host's cooling, or use another host.",
    )


def no_foreign_device_processes(pids: Sequence[int]) -> Check:
    """Nobody else held the device before or after the run."""
    listed = f" (process {', '.join(map(str, pids))})" if pids else ""
    return _at_most(
        "no_foreign_device_processes",
        len(pids),
        0,
        "processes",
        f"The device was held by {len(pids)} processes of others{listed}.",
        "End them and measure again.",
    )


def clock_sane(clock: ClockFigures) -> Check:
    """The clock went at the rate of its own counter: nobody slewed it.

    A step of the wall clock is told and does not fail: no latency is taken with it.
    """
    found = f"The clock's rate was off by {clock.rate_error_ppm:+.1f} ppm."
    if abs(clock.realtime_gain_s) > WALL_CLOCK_STEP_S:
        found += f" The wall clock was set by {clock.realtime_gain_s:+.3f} s; that harms no latency."
    return _at_most(
        "clock_sane",
        abs(clock.rate_error_ppm),
        CLOCK_RATE_PPM + clock.uncertainty_ppm,
        "ppm",
        found,
        "Wait until the time service has finished, then measure again.",
    )


def clock_fine(clock: ClockFigures, latency: LatencySummary) -> Check:
    """A reading of the clock is short beside a call, both in what it costs and in what it can tell apart."""
    latency_ms = latency.p50_ms or latency.mean_ms or 0.0
    share = clock.step_ns / (latency_ms * 1e6) if latency_ms else math.inf
    return _at_most(
        "clock_fine",
        share if math.isfinite(share) else None,
        CLOCK_STEP_SHARE,
        "ratio",
        f"The clock tells {clock.step_ns:.0f} ns apart, {share:.2%} of a call.",
        f"Its source is {clock.source or 'unknown'}: boot with clocksource=tsc, or use larger batches.",
    )


def environment_unchanged(before: Environment, after: Environment) -> Check:
    """Hardware and software were the same at the end as at the start."""
    was, became = before.model_dump(), after.model_dump()
    changed = [name for name in was if name != "fingerprint" and was[name] != became[name]]
    listed = ", ".join(f"{name} ({was[name]} to {became[name]})" for name in changed)
    return _at_most(
        "environment_unchanged",
        len(changed),
        0,
        "fields",
        f"The environment changed meanwhile: {listed}." if changed else "The environment stayed the same.",
        "Measure again when no upgrade is under way.",
    )


def arrivals_kept_up(run: OpenLoopRun) -> Check:
    """Batches were served as fast as they arrived, so that the backlog did not grow.

    Under an overload of x the last arrivals wait x of the run; the figure is one less that, the share of the
    arrivals' rate that was served. It is the rate at which they came that counts: that of a finite run
    scatters around the one that was asked.
    """
    if run.end_ns.size == 0:
        return Check(name="arrivals_kept_up", passed=False, advice="No arrival was served: start it again.")
    span_ns = float(run.scheduled_ns[-1] - run.scheduled_ns[0])
    last_ns = last_waits_ns(run)
    return _at_least(
        "arrivals_kept_up",
        max(0.0, 1 - last_ns / span_ns) if span_ns else None,
        1 - BACKLOG_TOLERANCE,
        "ratio",
        f"The last tenth of {run.end_ns.size} arrivals waited {last_ns * 1e-6:.3g} ms for a worker.",
        "The device cannot serve this rate: lower it, or use more replicas.",
    )


def _at_most(name: str, figure: float | None, limit: float, unit: str, found: str, todo: str) -> Check:
    """Passes when the figure is known and does not exceed the limit; else what to do is told too."""
    passed = figure is not None and figure <= limit
    return _judged(name, passed, figure, limit, unit, found if passed else f"{found} {todo}")


def _at_least(name: str, figure: float | None, limit: float, unit: str, found: str, todo: str) -> Check:
    """The same, for a figure that must not stay below the limit."""
    passed = figure is not None and figure >= limit
    return _judged(name, passed, figure, limit, unit, found if passed else f"{found} {todo}")


def _judged(name: str, passed: bool, figure: float | None, limit: float, unit: str, advice: str) -> Check:
    return Check(name=name, passed=passed, figure=figure, limit=limit, unit=unit, advice=advice)
