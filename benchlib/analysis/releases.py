"""Changes between releases in published tables: series of 4 to 13 single values without any variance.

Far too few for the nightly scan, so few assumptions and an honest word on how sure. All series of a metric
are judged together, in logarithms, since a series of seven values says little about its own scatter:

- The scatter of a series is 1.4826 x the median of its absolute steps / sqrt(2). It is averaged with the
  median scatter of all series of the metric, which weighs like 4 degrees of freedom; its own weigh 0.37 each,
  the efficiency of such a median. This is the moderated variance of G. K. Smyth (Statistical Applications in
  Genetics and Molecular Biology 3, 2004) with a fixed prior.
- A value is held against the median of the up to 5 releases before it, at least 3. With s the scatter and n
  the releases, t = difference / (s sqrt(1 + 1.57 / n)); its two-sided p comes from Student's distribution.
- It is told when p is below the rate, and at least half of the difference came with this very release: what
  crept in or was there before is not dated. Of unchanged values at most about the rate's share is told.
- The next release is the second witness: the change is *lasting* when at least half of it is still there.
  Then the baseline begins anew with it; a value that was gone again enters no later baseline.
- Series that a release moved in the same way are one event, held against how many chance would bring.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from statistics import median
from typing import Literal, get_args

import numpy as np

from benchlib.analysis.changes.model import Verdict
from benchlib.analysis.changes.scan import MAD_TO_SIGMA, verdict_on
from benchlib.analysis.changes.sizing import MEDIAN_VARIANCE
from benchlib.analysis.changes.thresholds import direction_of
from benchlib.errors import BadInput

Metric = Literal["throughput_inf_per_s", "p50_ms", "p99_ms"]
METRICS: tuple[Metric, ...] = get_args(Metric)
Pattern = Literal["throughput", "median latency", "tail only"]
LEADS: Mapping[Pattern, Metric] = {
    "throughput": "throughput_inf_per_s",
    "median latency": "p50_ms",
    "tail only": "p99_ms",
}
"""The metric that a pattern is named after."""

RATE = 0.02
"""One unchanged value in 50 is told."""

LEAST_RELEASES = 3
MOST_RELEASES = 5
LEAST_VALUES = 4
PRIOR_FREEDOM = 4.0
MEDIAN_EFFICIENCY = 0.37
SHARE = 0.5
"""Of a change: so much must come with one release, and be there in the next for it to last."""

TAIL_FACTOR = 3.0
"""A tail moves alone when it moves so many times as far as the throughput, which a slow tail drags along."""

LEAST_SCATTER = 0.0025


@dataclass(frozen=True)
class ReleaseFigures:
    """What one release was published with."""

    release: str
    """Of the SDK, such as 2.26.0."""
    throughput_inf_per_s: float
    p50_ms: float | None = None
    p99_ms: float | None = None


@dataclass(frozen=True)
class ReleaseHistory:
    """One series over the releases, oldest first, one line per release."""

    series_id: uuid.UUID
    model: str
    sequence_length: int
    precision: str | None
    batch_size: int
    instance_type: str | None
    figures: tuple[ReleaseFigures, ...]
    ambiguous: tuple[str, ...] = ()
    """Releases with several values that differ: left out, as nobody can tell which is right."""


@dataclass(frozen=True)
class Move:
    """One metric of a series at one release, held against the releases before."""

    metric: Metric
    relative_change: float
    """Against the median of the baseline's releases."""
    relative_low: float
    """Lower end of the 95 % interval of the relative change."""
    relative_high: float
    p: float
    """Share of unchanged values that would lie so far off or farther."""
    baseline: tuple[str, ...]
    """The releases before that it is held against."""
    previous_relative_change: float
    """Of the release before against the same baseline."""
    next_relative_change: float | None
    """Of the next release against the same baseline; ``None``: there is no next."""

    @property
    def direction(self) -> Verdict:
        """Whether it is worse or better."""
        return verdict_on(self.relative_change, direction_of(self.metric))

    def told(self, rate: float) -> bool:
        """Whether p is below the rate, and at least half of the change came with this very release."""
        before = self.previous_relative_change * self.relative_change
        return self.p < rate and before <= (1 - SHARE) * self.relative_change**2

    @property
    def lasting(self) -> bool | None:
        """Whether half of it or more is still there in the next release; ``None``: there is no next."""
        if self.next_relative_change is None:
            return None
        return self.next_relative_change * self.relative_change >= SHARE * self.relative_change**2


@dataclass(frozen=True)
class Step:
    """A series at a release that changed one or more of its metrics."""

    history: ReleaseHistory
    release: str
    previous_release: str
    next_release: str | None
    moves: tuple[Move, ...]
    """Of all metrics that can be judged there."""
    told: tuple[Move, ...]
    """Of these, what this release changed; at least one."""

    @property
    def leading(self) -> Move:
        """That of the metric that the pattern is named after."""
        return next(move for move in self.told if move.metric == LEADS[self.pattern])

    @property
    def pattern(self) -> Pattern:
        """What moved: only the tail; else the throughput; else the median latency.

        Only the tail: P99 is told, P50 is not, and the throughput is not, or moved less than a third as far.
        """
        told = {move.metric for move in self.told}
        if (
            "p99_ms" in told
            and "p50_ms" not in told
            and self._tail_stands_out("throughput_inf_per_s" in told)
        ):
            return "tail only"
        return "throughput" if "throughput_inf_per_s" in told else "median latency"

    def _tail_stands_out(self, throughput_is_told: bool) -> bool:
        tail, rate = self.from_previous("p99_ms"), self.from_previous("throughput_inf_per_s")
        if not throughput_is_told or tail is None or rate is None:
            return not throughput_is_told
        return abs(math.log1p(tail)) >= TAIL_FACTOR * abs(math.log1p(rate))

    def from_previous(self, metric: Metric) -> float | None:
        """Relative change from the release before, as published; ``None``: one of them lacks the metric."""
        at = next(i for i, each in enumerate(self.history.figures) if each.release == self.release)
        before, now = (getattr(each, metric) for each in self.history.figures[at - 1 : at + 1])
        return None if before is None or now is None else float(now / before - 1)


@dataclass(frozen=True)
class Event:
    """What one release did to one or more series, in the same way."""

    release: str
    pattern: Pattern
    direction: Verdict
    steps: tuple[Step, ...]
    """By how sure, surest first."""
    tested: int
    """Series that could be judged at this release, in any metric."""
    expected_by_chance: float
    """At most so many comparisons of this release would be told, in either direction, had nothing changed."""


@dataclass(frozen=True)
class ReleaseReport:
    """All events, and what they must be held against."""

    events: tuple[Event, ...]
    """Newest release first, within it the one with the most series first."""
    rate: float
    comparisons: int
    """Values that were held against a baseline, over all series and metrics."""
    told: int
    """Of these, by how many a release is said to have changed something."""
    series: int
    """With enough releases for any judgement."""
    ambiguous: int
    """Releases of a series that were left out for having several values."""

    def only(self, model: str) -> ReleaseReport:
        """The same judgement, of all series, with the events and steps of one model alone."""
        kept = (
            replace(event, steps=tuple(step for step in event.steps if step.history.model == model))
            for event in self.events
        )
        return replace(self, events=tuple(event for event in kept if event.steps))

    @property
    def expected_by_chance(self) -> float:
        """How many of the comparisons would be told if no release had changed anything."""
        return self.rate * self.comparisons


def judge_releases(histories: Iterable[ReleaseHistory], rate: float = RATE) -> ReleaseReport:
    """Find the releases that changed series, as this module describes.

    Raises:
        BadInput: the rate is not between 0 and 0.2.
    """
    if not 0 < rate <= 0.2:
        raise BadInput("rate", rate, "above 0 and at most 0.2, such as 0.02 for one false in 50")
    every = tuple(histories)
    lines = [line for metric in METRICS for line in _lines(every, metric, rate)]
    events = tuple(_events(_steps(lines, rate), lines, rate))
    return ReleaseReport(
        events=events,
        rate=rate,
        comparisons=len(lines),
        told=sum(line.move.told(rate) for line in lines),
        series=len({line.history.series_id for line in lines}),
        ambiguous=sum(len(history.ambiguous) for history in every),
    )


def release_order(release: str) -> tuple[int, ...]:
    """A key that sorts releases of digits and dots."""
    return tuple(int(part) if part.isdigit() else 0 for part in release.split("."))


@dataclass(frozen=True)
class _Line:
    """One comparison."""

    history: ReleaseHistory
    release: str
    move: Move


@dataclass(frozen=True)
class _Logs:
    """One metric of one series, where it has enough values."""

    history: ReleaseHistory
    metric: Metric
    releases: tuple[str, ...]
    values: tuple[float, ...]
    """Logarithms."""

    @property
    def scatter(self) -> float:
        """Its own robust standard deviation."""
        steps = np.abs(np.diff(self.values))
        return max(LEAST_SCATTER, MAD_TO_SIGMA * float(np.median(steps)) / math.sqrt(2))

    @property
    def freedom(self) -> float:
        """Degrees of freedom of its own scatter."""
        return MEDIAN_EFFICIENCY * (len(self.values) - 1)


def _logs(history: ReleaseHistory, metric: Metric) -> _Logs | None:
    known = [(each.release, getattr(each, metric)) for each in history.figures]
    there = [(release, math.log(value)) for release, value in known if value is not None]
    if len(there) < LEAST_VALUES:
        return None
    releases, values = zip(*there, strict=True)
    return _Logs(history, metric, releases, values)


def _lines(histories: Sequence[ReleaseHistory], metric: Metric, rate: float) -> list[_Line]:
    found = [_logs(history, metric) for history in histories]
    enough = [logs for logs in found if logs is not None]
    if not enough:
        return []
    prior = float(np.median([logs.scatter for logs in enough]))
    return [line for logs in enough for line in _judge(logs, prior, rate)]


def _judge(logs: _Logs, prior: float, rate: float) -> Iterable[_Line]:
    """Hold one value after the other against those before it."""
    weight = PRIOR_FREEDOM + logs.freedom
    scatter = math.sqrt((PRIOR_FREEDOM * prior**2 + logs.freedom * logs.scatter**2) / weight)
    quantile = _student_quantile(0.975, weight)
    baseline = list(range(LEAST_RELEASES))
    for at in range(LEAST_RELEASES, len(logs.values)):
        if len(baseline) < LEAST_RELEASES:
            baseline.append(at)
            continue
        move = _move(logs, baseline[-MOST_RELEASES:], at, _Scatter(scatter, weight, quantile))
        yield _Line(logs.history, logs.releases[at], move)
        if not move.told(rate):
            baseline.append(at)
        elif move.lasting:
            baseline = [at]


# Imported where they are used: loading scipy takes longer than most commands do, and they have no need of it.
def _student_below(t: float, freedom: float) -> float:
    from scipy.special import stdtr

    return float(stdtr(freedom, t))


def _student_quantile(share: float, freedom: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(freedom, share))


@dataclass(frozen=True)
class _Scatter:
    """Of one series, averaged with that of all."""

    sigma: float
    freedom: float
    quantile: float
    """Of Student's distribution, for a 95 % interval."""


def _move(logs: _Logs, baseline: Sequence[int], at: int, scatter: _Scatter) -> Move:
    middle = median([logs.values[each] for each in baseline])
    error = scatter.sigma * math.sqrt(1 + MEDIAN_VARIANCE / len(baseline))
    difference = logs.values[at] - middle
    reach = scatter.quantile * error
    following = logs.values[at + 1] - middle if at + 1 < len(logs.values) else None
    return Move(
        metric=logs.metric,
        relative_change=math.expm1(difference),
        relative_low=math.expm1(difference - reach),
        relative_high=math.expm1(difference + reach),
        p=2 * _student_below(-abs(difference) / error, scatter.freedom),
        baseline=tuple(logs.releases[each] for each in baseline),
        previous_relative_change=math.expm1(logs.values[at - 1] - middle),
        next_relative_change=None if following is None else math.expm1(following),
    )


def _steps(lines: Sequence[_Line], rate: float) -> list[Step]:
    def where(line: _Line) -> tuple[str, str]:
        return str(line.history.series_id), line.release

    found = []
    for _, group in groupby(sorted(lines, key=where), key=where):
        same = list(group)
        moves = tuple(line.move for line in same)
        told = tuple(move for move in moves if move.told(rate))
        if told:
            found.append(_step(same[0].history, same[0].release, moves, told))
    return found


def _step(history: ReleaseHistory, release: str, moves: tuple[Move, ...], told: tuple[Move, ...]) -> Step:
    releases = [each.release for each in history.figures]
    at = releases.index(release)
    following = releases[at + 1] if at + 1 < len(releases) else None
    return Step(history, release, releases[at - 1], following, moves, told)


def _events(steps: Sequence[Step], lines: Sequence[_Line], rate: float) -> list[Event]:
    def alike(step: Step) -> tuple[str, Pattern, Verdict]:
        return step.release, step.pattern, step.leading.direction

    found = []
    for (release, pattern, direction), group in groupby(sorted(steps, key=alike), key=alike):
        there = [line.history.series_id for line in lines if line.release == release]
        surest_first = sorted(group, key=lambda step: step.leading.p)
        found.append(
            Event(release, pattern, direction, tuple(surest_first), len(set(there)), rate * len(there))
        )
    found.sort(key=lambda event: (release_order(event.release), len(event.steps)), reverse=True)
    return found
