"""What the comparison table consists of: its columns, caption and notes, once for every format.

The columns and their order are those of the table that this project started from.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC
from typing import Literal

from benchlib.analysis.comparison import Comparison, ComparisonRow, blanks
from benchlib.analysis.peak import find_peak, find_ties, name_sizes, provenance
from benchlib.results import PERCENTILES

NOTHING = "–"  # noqa: RUF001  (an en dash reads as "no figure"; a hyphen reads as a sign)
REASON_CHARS = 40
NOTE_CHARS = 300
SHORT_ID_CHARS = 8


@dataclass(frozen=True)
class Column:
    """One column: what it is called, where its value is and how it is printed."""

    name: str
    attribute: str
    """Of `ComparisonRow`."""
    unit: str = ""
    decimals: int | None = 0
    """``None``: text."""

    @property
    def header(self) -> str:
        """Name and unit."""
        return f"{self.name} ({self.unit})" if self.unit else self.name

    @property
    def is_text(self) -> bool:
        """True for names, which are data: every format escapes them."""
        return self.decimals is None

    def cell(self, row: ComparisonRow, missing: str = NOTHING) -> str:
        """The value as it is printed, on one line."""
        value = getattr(row, self.attribute)
        if value is None:
            return missing
        return one_line(value) if self.is_text else f"{value:.{self.decimals}f}"


class _Margin(Column):
    """Half the width of the throughput's 95 % interval, as a share of the throughput."""

    def cell(self, row: ComparisonRow, missing: str = NOTHING) -> str:
        """Such as '±0.4 %'."""
        if row.throughput_limits is None or row.throughput_inf_per_s is None:
            return missing
        low, high = row.throughput_limits
        percent = 100 * (high - low) / 2 / row.throughput_inf_per_s
        return f"±{percent:.{1 if percent >= 0.1 else 2}f} %"


FILENAME = Column("Filename", "filename", decimals=None)
THROUGHPUT = Column("Throughput", "throughput_inf_per_s", "inf/s", 3)
COLUMNS = (
    FILENAME,
    Column("Batch", "batch_size"),
    Column("Batches", "batches"),
    Column("Inferences", "inferences"),
    Column("Threads", "workers"),
    Column("Models", "replicas"),
    Column("Duration", "duration_s", "s", 3),
    THROUGHPUT,
    Column("P50", "p50_ms", "ms", 3),
    Column("P95", "p95_ms", "ms", 3),
    Column("P99", "p99_ms", "ms", 3),
)
MARGIN = _Margin("± inf/s", "throughput_limits", "95 %")


def columns_of(comparison: Comparison) -> tuple[Column, ...]:
    """`COLUMNS`, and after them the margin of the throughput where any is known."""
    known = any(row.throughput_limits for row in comparison.rows)
    return (*COLUMNS, MARGIN) if known else COLUMNS


Mark = Literal["peak", "tied", "level"]


def marks(rows: Iterable[ComparisonRow]) -> Mapping[int, Mark]:
    """The batch sizes that stand out: the peak, and those that cannot be told from it."""
    rows = tuple(rows)
    peak = find_peak(rows)
    return {peak.batch_size: "peak", **find_ties(rows)} if peak else {}


def one_line(text: str) -> str:
    """The text on one line, without characters that could steer a terminal or reverse the line."""
    joined = " ".join(text.split())
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in joined)


def shorten(text: str, chars: int) -> str:
    """The text on one line of at most so many characters."""
    line = one_line(text)
    return line if len(line) <= chars else line[: chars - 1].rstrip() + "…"


def caption(comparison: Comparison) -> str:
    """What one must know to read the table: model, where it ran, which sweep, whose figures."""
    facts = {
        "Model": comparison.model,
        "sequence length": str(comparison.sequence_length),
        "precision": comparison.precision or "unknown",
        "scenario": _SCENARIO_WORDS.get(comparison.scenario, comparison.scenario),
        "worker mode": " and ".join(sorted({row.worker_mode for row in comparison.rows if row.worker_mode})),
        "P99 limit": f"{comparison.latency_limit_ms:.10g} ms" if comparison.latency_limit_ms else None,
        "backend": comparison.backend,
        "device": comparison.device,
        "instance type": comparison.instance_type,
        "label": comparison.label,
        "sweep": str(comparison.sweep_id)[:SHORT_ID_CHARS],
        "date": f"{comparison.created_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC",
    }
    described = ", ".join(f"{name} {one_line(value)}" for name, value in facts.items() if value)
    return f"{described}. {one_line(provenance(comparison))}"


def row_notes(comparison: Comparison) -> list[str]:
    """One line for each row that failed or cannot be believed and each blank percentile, with the reason."""
    of_rows = (
        f"Batch size {row.batch_size} {_STATUS_WORDS[row.status]}: {row.reason}"
        for row in comparison.rows
        if row.status != "ok"
    )
    return [shorten(note, NOTE_CHARS) for note in (*of_rows, *_blank_notes(comparison))]


def _blank_notes(comparison: Comparison) -> list[str]:
    measured = [row.batch_size for row in comparison.rows if row.throughput_inf_per_s is not None]
    return [
        f"{column.name} {why}" if sizes == measured else f"{column.name} of {name_sizes(sizes)} {why}"
        for column in COLUMNS
        if column.attribute in PERCENTILES
        for why, sizes in blanks(comparison.rows, column.attribute).items()
    ]


_STATUS_WORDS = {"failed": "failed", "invalid": "is not valid"}
_SCENARIO_WORDS = {"server": "server (random arrivals, latency from the scheduled arrival)"}
