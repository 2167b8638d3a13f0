"""Little's law tells in which unit a table's latencies are, whatever its header says.

In a closed loop each worker always has exactly one batch under way, so that
``workers = throughput / batch size x mean latency`` (J. D. C. Little, Operations Research 9, 1961).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchlib.errors import BadInput

BAND = 2.0
"""A median fits a unit when it lies within this factor of the mean latency, above or below.

Above it cannot lie: half of all batches take at least the median, hence mean >= median / 2. It lies below
only when the standard deviation exceeds half the mean. Units are a factor of 1000 apart: at most one can fit.
"""

PER_SECOND = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}
UNIT_NAMES = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}
_SPELLINGS = {"sec": "s", "secs": "s", "second": "s", "msec": "ms", "µs": "us", "μs": "us", "usec": "us"}


@dataclass(frozen=True)
class ClosedLoop:
    """One row of a table: a load, its throughput and the median latency in a unit to be found."""

    name: str
    """Such as 'row 3', for messages."""
    workers: int
    batch_size: int
    throughput_inf_per_s: float
    p50: float

    @property
    def mean_latency_s(self) -> float:
        """The mean latency of one batch that Little's law demands."""
        return self.workers * self.batch_size / self.throughput_inf_per_s

    @property
    def explanation(self) -> str:
        """The law with this row's figures."""
        load = f"{self.workers} workers x {self.batch_size} / {self.throughput_inf_per_s:.15g} inf/s"
        return f"{load} = {self.mean_latency_s * 1e3:.3f} ms"


@dataclass(frozen=True)
class LatencyUnit:
    """The unit that a table's latencies really have."""

    unit: str
    """One of 's', 'ms', 'us' and 'ns'."""
    declared: str | None
    """What the header says, as it stands there."""
    evidence: str
    """Little's law with the figures of the first row."""

    @property
    def contradicted(self) -> bool:
        """True when the header names another unit, or something that is none."""
        return self.declared is not None and _normalised(self.declared) != self.unit

    @property
    def sentence(self) -> str:
        """What was found, for people."""
        found = f"{UNIT_NAMES[self.unit]} by Little's law: {self.evidence}."
        if self.declared is None:
            return f"The latency columns are headed without a unit and are {found}"
        joint = "but are" if self.contradicted else "and are"
        return f"The latency columns are headed ({self.declared}) {joint} {found}"


def infer_latency_unit(rows: Sequence[ClosedLoop], declared: str | None) -> LatencyUnit:
    """Find the one unit in which every row's median agrees with Little's law within `BAND`.

    ``declared`` is the unit in the header, or ``None``. At least one row is needed.

    Raises:
        BadInput: a row fits no unit, or another one than the first row; it names the row and its figures.
    """
    first = rows[0]
    unit = _unit_of(first)
    for row in rows[1:]:
        if _unit_of(row) != unit:
            allowed = f"{UNIT_NAMES[unit]} as in {first.name} ({first.p50:g}), for {row.explanation}"
            raise BadInput(f"{row.name}, P50", row.p50, allowed)
    return LatencyUnit(unit, declared, first.explanation)


def _unit_of(row: ClosedLoop) -> str:
    for unit, per_second in PER_SECOND.items():
        if 1 / BAND <= row.p50 / (row.mean_latency_s * per_second) <= BAND:
            return unit
    allowed = f"within a factor of {BAND:g} of {row.explanation} (Little's law), in s, ms, us or ns"
    raise BadInput(f"{row.name}, P50", row.p50, allowed)


def _normalised(declared: str) -> str:
    text = declared.strip().casefold()
    by_name = {name: unit for unit, name in UNIT_NAMES.items()}
    return _SPELLINGS.get(text) or by_name.get(text, text)
