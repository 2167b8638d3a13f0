"""What came of reading a file: records to store, and a verdict on every row that is not beyond doubt."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from benchlib.records import MeasurementRecord
from benchlib.report.markdown import escape
from benchlib.store.repository import Written


class Refused(Exception):
    """A row cannot be stored."""

    def __init__(self, reason: str, kind: str | None = None) -> None:
        self.reason = reason
        self.kind = kind or reason
        """The reason without the row's figures, to count by."""
        super().__init__(reason)


@dataclass(frozen=True)
class Verdict:
    """One row that is not taken as it stands."""

    where: str
    """Such as 'line 12'."""
    what: str
    """The row, in a few words."""
    kind: str
    """The reason without this row's figures, to count by."""
    reason: str


@dataclass(frozen=True)
class Reading:
    """All rows of a file, each taken, flagged or refused."""

    records: tuple[MeasurementRecord, ...]
    """What to store: the rows taken and the rows flagged."""
    flagged: tuple[Verdict, ...] = ()
    """Stored as invalid: shown, but never a peak and never a baseline."""
    refused: tuple[Verdict, ...] = ()

    @property
    def taken(self) -> int:
        """Rows that are stored and believed."""
        return len(self.records) - len(self.flagged)

    @property
    def sweeps(self) -> int:
        """Sweeps that the stored rows belong to."""
        return len({record.sweep.sweep_id for record in self.records})


def headline(reading: Reading, written: Written) -> str:
    """The numbers, in one sentence."""
    rows = len(reading.records) + len(reading.refused)
    stored = f"{written.inserted} of them new"
    if written.replaced:
        stored += f", {written.replaced} replaced"
    elif written.inserted == len(reading.records):
        stored = "nothing was stored before"
    elif not written.inserted:
        stored = "all of them stored before, so nothing changed"
    return (
        f"{_number(rows, 'row')}: {reading.taken} taken and {len(reading.flagged)} flagged in "
        f"{_number(reading.sweeps, 'sweep')} ({stored}), {len(reading.refused)} refused."
    )


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def counted(verdicts: tuple[Verdict, ...]) -> list[str]:
    """One line per kind of reason, the most frequent first."""
    return [f"{count} x {kind}" for kind, count in Counter(each.kind for each in verdicts).most_common()]


def render_report(reading: Reading, file: str, written: Written) -> str:
    """The whole report as Markdown: every row that was flagged or refused, with its reason."""
    parts = [f"# Import of {escape(file)}", headline(reading, written)]
    parts += _section("Flagged: stored, but never a peak and never a baseline", reading.flagged)
    parts += _section("Refused: not stored", reading.refused)
    return "\n\n".join(parts) + "\n"


def _section(title: str, verdicts: tuple[Verdict, ...]) -> list[str]:
    if not verdicts:
        return []
    counts = "\n".join(f"- {escape(line)}" for line in counted(verdicts))
    lines = ["| where | what | reason |", "| --- | --- | --- |"]
    lines += [f"| {escape(v.where)} | {escape(v.what)} | {escape(v.reason)} |" for v in verdicts]
    return [f"## {title}", counts, "\n".join(lines)]
