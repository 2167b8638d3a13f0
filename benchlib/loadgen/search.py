"""The highest rate of arrivals at which P99 meets a limit: the figure of merit of MLPerf's Server scenario.

P99 of a queue scatters widely: of 2000 arrivals at four fifths of the capacity, by a fifth of its value. So
each trial has its own random arrivals, and one that ends near the limit is repeated with more of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from benchlib.errors import BadInput
from benchlib.loadgen.arrivals import PoissonArrivals
from benchlib.loadgen.watch import Interrupted
from benchlib.results import ServerTrial, samples_needed

TryRate = Callable[[PoissonArrivals], ServerTrial]
"""Serves these arrivals and judges the outcome; may raise `Interrupted`."""

FIRST_SHARE = 0.7
"""Of the capacity: the first rate to be tried."""
LOWEST_SHARE = 1 / 16
"""Of the capacity: the lowest rate to be tried. Hardly any arrival waits there for a busy worker."""
NEAR = 1.3
"""A P99 within this factor of the limit, above or below, is repeated before it decides."""
DECIDING = 4
"""A repeated trial has so many times the arrivals."""
TYPICAL_COST = 40
"""Arrivals of a whole search over those of a plain trial, at about half of the capacity (simulated)."""


@dataclass(frozen=True)
class SearchPlan:
    """How thoroughly to search."""

    seed: int = 0
    """Of the first trial's arrivals; the k-th trial after it has ``seed + k``."""
    arrivals: int = 2000
    """Of a plain trial. The rate that is found is off the truth by 2 to 3 % (root mean square) with 5000, by
    3 to 4 % with 2000, by 5 to 7 % and mostly too high with 500 (simulated queues of 1 to 12 workers)."""
    resolution: float = 0.02
    """Stop when the lowest rate that failed is at most this share above the highest that met the limit."""
    max_trials: int = 20

    @classmethod
    def lasting(cls, duration_s: float, ceiling_batches_per_s: float, seed: int = 0) -> SearchPlan:
        """A plan for at most about so many seconds; more where the fewest arrivals for a P99 take longer."""
        arrivals = int(duration_s * ceiling_batches_per_s / 2 / TYPICAL_COST)
        return cls(seed, min(max(arrivals, samples_needed(99)), 20_000))

    @property
    def most_arrivals(self) -> int:
        """Of any trial."""
        return DECIDING * self.arrivals


@dataclass(frozen=True)
class SearchResult:
    """What the search found, and how."""

    rate_batches_per_s: float | None
    """The highest rate that was tried and met the limit; ``None``: none did."""
    trials: tuple[ServerTrial, ...]
    """All of them, in order."""
    sentence: str
    """The outcome for people."""
    interrupted: bool = False


def find_highest_rate(
    try_rate: TryRate,
    *,
    ceiling_batches_per_s: float,
    limit_ms: float,
    plan: SearchPlan = SearchPlan(),
) -> SearchResult:
    """Bisect, on a logarithmic scale, between a rate that meets the limit and one that does not.

    The bracket only ever shrinks: what lies above a rate that failed, or below one that met the limit, is
    never tried. The search ends at the plan's resolution, after its last trial, when even the lowest rate
    fails, or with what is known when a trial was interrupted.

    Args:
        try_rate: serves the arrivals and judges the outcome, see `benchlib.loadgen.server_summary.judge`.
        ceiling_batches_per_s: the capacity, as a closed loop found it. An open queue at this rate grows
            without end, so it counts as failed, untried.
        limit_ms: highest acceptable P99 from the scheduled arrival.
        plan: seed, arrivals and resolution.

    Raises:
        BadInput: a ceiling or limit that is not above zero, or too few arrivals for a P99.
    """
    _check(ceiling_batches_per_s, limit_ms, plan)
    search = _Search(try_rate, ceiling_batches_per_s, limit_ms, plan)
    try:
        while (rate := search.next_rate()) is not None:
            search.decide(rate)
    except Interrupted:
        search.interrupted = True
    return SearchResult(search.met, tuple(search.trials), search.sentence(), search.interrupted)


def _check(ceiling_batches_per_s: float, limit_ms: float, plan: SearchPlan) -> None:
    for name, value in (("ceiling_batches_per_s", ceiling_batches_per_s), ("latency_limit_ms", limit_ms)):
        if not 0 < value < math.inf:
            raise BadInput(name, value, "a number above zero")
    if plan.arrivals < samples_needed(99):
        raise BadInput("arrivals", plan.arrivals, f"at least {samples_needed(99)}, which a P99 needs")
    if plan.resolution <= 0 or plan.max_trials < 1:
        raise BadInput("plan", plan, "a resolution above zero and at least one trial")


@dataclass
class _Search:
    try_rate: TryRate
    ceiling: float
    limit_ms: float
    plan: SearchPlan
    trials: list[ServerTrial] = field(default_factory=list)
    met: float | None = None
    failed: float = field(init=False)
    interrupted: bool = False

    def __post_init__(self) -> None:
        self.failed = self.ceiling

    @property
    def lowest(self) -> float:
        return self.ceiling * LOWEST_SHARE

    @property
    def settled(self) -> bool:
        if self.met is None:
            return self.failed <= self.lowest
        return self.failed / self.met <= 1 + self.plan.resolution

    def next_rate(self) -> float | None:
        if self.settled or len(self.trials) >= self.plan.max_trials:
            return None
        if not self.trials:
            return self.ceiling * FIRST_SHARE
        return self.lowest if self.met is None else math.sqrt(self.met * self.failed)

    def decide(self, rate: float) -> None:
        """Move one end of the bracket to this rate."""
        # At the lowest rate nothing queues, so that P99 scatters little, and every arrival takes long.
        lowest = rate == self.lowest
        trial = self._try(rate, samples_needed(99) if lowest else self.plan.arrivals)
        if self._is_near(trial) and len(self.trials) < self.plan.max_trials:
            trial = self._try(rate, self.plan.arrivals if lowest else self.plan.most_arrivals)
        if trial.met:
            self.met = rate
        else:
            self.failed = rate

    def _try(self, rate: float, count: int) -> ServerTrial:
        trial = self.try_rate(PoissonArrivals(rate, self.plan.seed + len(self.trials), count))
        self.trials.append(trial)
        return trial

    def _is_near(self, trial: ServerTrial) -> bool:
        if trial.p99_ms is None:
            return False
        # A P99 far below the limit that still does not count comes of a backlog that may be a chance one.
        return abs(math.log(trial.p99_ms / self.limit_ms)) <= math.log(NEAR) or (
            trial.p99_ms <= self.limit_ms and not trial.met
        )

    def sentence(self) -> str:
        how = "was interrupted" if self.interrupted else "ended"
        cut = "" if self.settled else f" The search {how} after {len(self.trials)} trials."
        if not self.trials:
            return f"No rate was tried.{cut}"
        if self.met is None:
            slowest = min(trial.target_batches_per_s for trial in self.trials)
            return (
                f"P99 within {self.limit_ms:g} ms was not reached, not even at {slowest:,.4g} batches/s.{cut}"
            )
        what = "the capacity in a closed loop" if self.failed == self.ceiling else "too fast"
        return (
            f"P99 stays within {self.limit_ms:g} ms at {self.met:,.4g} batches/s; "
            f"{self.failed:,.4g} batches/s are {what}.{cut}"
        )
