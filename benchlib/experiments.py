"""A comparison of two interpreters on one host: what is asked, and what is kept of it.

Every record can be written alone and again: a pair carries its experiment, and an experiment has the same id
on every worker and on every retry.
"""

from __future__ import annotations

import uuid
from typing import Literal

from pydantic import AwareDatetime, Field, model_validator

from benchlib.analysis.paired import FEWEST_PAIRS, Limits, Metric, Pair, Side
from benchlib.errors import BadInput
from benchlib.results import Environment, Measurement
from benchlib.spec import Spec, SweepSpec

EXPERIMENT_NAMESPACE = uuid.UUID("0c1e0a52-7a2f-5a0b-9a3c-5c2f4b7de1a4")

MOST_PAIRS = 1000

VOID_AT_MOST = 3
"""So many pairs in a row that cannot be used, and a batch size is given up."""

NOISE_CHECKS = frozenset(
    {
        "host_quiet", "run_queue", "no_steal", "cpu_quota", "no_throttling", "no_drift", "no_slow_round",
        "worker_balance", "warmed_up", "littles_law", "clock_fine",
    }
)  # fmt: skip
"""Checks that only say that the figures of a run are noisy. Noise is what pairs are made for: it widens the
interval, and is told."""

HARNESS_CHECKS = frozenset({"harness_ceiling", "harness_overhead", "interpreter_lock"})
"""Checks that say that the load generator, the same on both sides, is part of what was measured. It makes
differences look smaller: a pair counts, but where most are like that nothing is called no worse.

Whatever else fails makes a pair unusable."""


class ComparisonSpec(Spec):
    """Two interpreters, what each measures in its turn, and what is to be decided."""

    sweep: SweepSpec = Field(description="What a turn measures; its interpreter plays no part.")
    old: str = Field(
        "auto", min_length=1, description="Python of the data plane as it is; auto: the worker's own."
    )
    new: str = Field("auto", min_length=1, description="Python of the data plane that is to replace it.")
    pairs: int = Field(
        20,
        ge=FEWEST_PAIRS,
        le=MOST_PAIRS,
        description="Pairs per batch size before the first verdict; 12 is the floor for several batch sizes.",
    )
    max_pairs: int = Field(
        60,
        ge=FEWEST_PAIRS,
        le=MOST_PAIRS,
        description="20 more are measured where nothing can be decided yet, up to so many.",
    )
    min_effect: float = Field(
        0.01, gt=0, le=0.5, description="Smallest relative difference of throughput and P50 that matters."
    )
    p99_min_effect: float = Field(
        0.05, gt=0, le=0.5, description="Smallest relative difference of P99 that matters."
    )

    @model_validator(mode="after")
    def _check(self) -> ComparisonSpec:
        if self.max_pairs < self.pairs:
            raise BadInput(
                "max_pairs", self.max_pairs, f"a whole number from {self.pairs} (pairs) to {MOST_PAIRS}"
            )
        if self.sweep.scenario == "server":
            raise BadInput("scenario", "server", "one of offline, single_stream in a comparison")
        if self.sweep.load.stop != "rounds":
            raise BadInput(
                "stop", self.sweep.load.stop, "rounds in a comparison: every turn measures the same"
            )
        return self

    @property
    def with_itself(self) -> bool:
        """A/A: both sides are the same, and whatever is found is the procedure's own error."""
        return self.old == self.new

    @property
    def limits(self) -> Limits:
        """For `benchlib.analysis.paired`."""
        return Limits(self.pairs, self.max_pairs, self.min_effect, self.p99_min_effect)

    def interpreter_of(self, side: Side) -> str:
        """The Python that was asked for on this side."""
        return self.old if side == "old" else self.new


class ExperimentRecord(Spec):
    """One comparison: what was asked, by whom, when, and what both sides were."""

    kind: Literal["experiment"] = "experiment"
    experiment_id: uuid.UUID
    dag_id: str
    run_id: str
    author: str = Field(min_length=1)
    spec: ComparisonSpec
    created_at: AwareDatetime
    old_environment: Environment | None = None
    new_environment: Environment | None = None
    """``None``: not compiled yet."""

    def environment_of(self, side: Side) -> Environment | None:
        """What this side ran in, once that is known."""
        return self.old_environment if side == "old" else self.new_environment


class TurnRecord(Spec):
    """What one side of a pair gave: figures, or a reason why there are none."""

    throughput_inf_per_s: float | None = Field(None, gt=0)
    p50_ms: float | None = Field(None, gt=0)
    p99_ms: float | None = Field(None, gt=0)
    output_error: float | None = Field(
        None, ge=0, description="Largest relative difference of an output from this side's own CPU reference."
    )
    failed_checks: tuple[str, ...] = ()
    unusable: str | None = Field(None, description="Why the figures cannot be used; None: they can.")

    @classmethod
    def of(cls, measured: Measurement) -> TurnRecord:
        """The figures of a turn, unusable when a check failed that is about more than noise."""
        failed = [check for check in measured.checks if not check.passed]
        tolerated = NOISE_CHECKS | HARNESS_CHECKS
        spoilt = next((check for check in failed if check.name not in tolerated), None)
        matched = next((c for c in measured.checks if c.name == "outputs_match_reference"), None)
        return cls(
            throughput_inf_per_s=measured.throughput_inf_per_s,
            p50_ms=measured.latency.p50_ms,
            p99_ms=measured.latency.p99_ms,
            output_error=matched.figure if matched else None,
            failed_checks=tuple(check.name for check in failed),
            unusable=f"{spoilt.name}: {spoilt.advice}" if spoilt else None,
        )

    @classmethod
    def without(cls, reason: str) -> TurnRecord:
        """Of a turn that ended without figures."""
        return cls(unusable=reason)


class PairRecord(Spec):
    """One pair of a batch size: both sides, measured one right after the other on one host."""

    kind: Literal["pair"] = "pair"
    experiment_id: uuid.UUID
    batch_size: int = Field(ge=1)
    number: int = Field(ge=1, description="From 1 for each batch size, unusable ones included.")
    first: Side
    old: TurnRecord
    new: TurnRecord
    host: str | None = None
    recorded_at: AwareDatetime

    @property
    def unusable(self) -> str | None:
        """Why the pair does not count; ``None``: it does."""
        sides: tuple[tuple[Side, TurnRecord], ...] = (("old", self.old), ("new", self.new))
        return next((f"{side}: {turn.unusable}" for side, turn in sides if turn.unusable), None)

    def figures(self) -> Pair:
        """For `benchlib.analysis.paired`; only of a pair that counts."""
        both: dict[Metric, tuple[float | None, float | None]] = {
            "throughput_inf_per_s": (self.old.throughput_inf_per_s, self.new.throughput_inf_per_s),
            "p50_ms": (self.old.p50_ms, self.new.p50_ms),
            "p99_ms": (self.old.p99_ms, self.new.p99_ms),
        }
        known = {
            metric: (old, new) if old is not None and new is not None else None
            for metric, (old, new) in both.items()
        }
        return Pair(self.batch_size, self.number, known)


class Problem(Spec):
    """Why a batch size could not be compared, or (harness) not well enough to be called no worse."""

    batch_size: int = Field(ge=1)
    side: Literal["old", "new", "both"]
    stage: Literal["compile", "measure", "harness"]
    reason: str


def experiment_id_of(dag_id: str, run_id: str) -> uuid.UUID:
    """The same on every worker and on every retry, without asking a database."""
    return uuid.uuid5(EXPERIMENT_NAMESPACE, f"{dag_id}\n{run_id}")
