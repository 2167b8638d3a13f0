"""Ratios to the C loop, the table of them, and the file that keeps every run."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchlib.loadgen.topology import Topology
from benchmarks.fidelity.cases import Case, Figures, Ratios


@dataclass(frozen=True)
class Turn:
    """One run of one peer between two runs of the C loop."""

    case: str
    peer: str
    round: int
    figures: Figures
    limit_before: Figures
    limit_after: Figures

    @property
    def ratios(self) -> Ratios:
        """To the mean of the two."""
        limit = mean_of(self.limit_before, self.limit_after)
        return Ratios(
            self.figures.throughput_batches_per_s / limit.throughput_batches_per_s,
            self.figures.p50_ms / limit.p50_ms,
            self.figures.p99_ms / limit.p99_ms,
        )


@dataclass(frozen=True)
class Row:
    """One peer in one case: its ratios over all rounds, and whether their median meets the case's bar."""

    case: Case
    peer: str
    median: Ratios
    least: Ratios
    greatest: Ratios
    met: bool


@dataclass(frozen=True)
class Report:
    written_at: str
    platform: str
    python: str
    torch: str
    cpus: int
    others_cores: float
    """Cores that everybody else on the host kept busy meanwhile."""
    rounds: int
    topologies: dict[str, Topology]
    rows: list[Row]
    turns: list[Turn]

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")


def rows_of(cases: Sequence[Case], peers: Sequence[str], turns: Sequence[Turn]) -> list[Row]:
    return [
        _row(case, peer, [turn.ratios for turn in turns if (turn.case, turn.peer) == (case.name, peer)])
        for case in cases
        for peer in peers
    ]


def _row(case: Case, peer: str, ratios: Sequence[Ratios]) -> Row:
    median = _pick(statistics.median, ratios)
    bar = case.bar
    met = median.throughput >= bar.throughput and median.p50 <= bar.p50 and median.p99 <= bar.p99
    return Row(case, peer, median, _pick(min, ratios), _pick(max, ratios), met)


def _pick(choose: Callable[[list[float]], float], ratios: Sequence[Ratios]) -> Ratios:
    return Ratios(
        choose([r.throughput for r in ratios]),
        choose([r.p50 for r in ratios]),
        choose([r.p99 for r in ratios]),
    )


def mean_of(*figures: Figures) -> Figures:
    return Figures(
        statistics.mean(f.throughput_batches_per_s for f in figures),
        statistics.mean(f.p50_ms for f in figures),
        statistics.mean(f.p99_ms for f in figures),
    )


def print_table(report: Report, judged_peer: str) -> None:
    print("\n| case | peer | throughput / C loop's | P50 / C loop's | P99 / C loop's | bar | met |")
    print("|---|---|---|---|---|---|---|")
    for row in report.rows:
        ratios = zip(*(_cells(r) for r in (row.median, row.least, row.greatest)), strict=True)
        spreads = " | ".join(f"{middle} [{low}, {high}]" for middle, low, high in ratios)
        judged = row.peer == judged_peer
        bar, met = (_bar(row.case.bar), "yes" if row.met else "NO") if judged else ("", "")
        print(f"| {row.case.name} | {row.peer} | {spreads} | {bar} | {met} |")
    print()
    for case in dict.fromkeys(turn.case for turn in report.turns):
        limit = mean_of(*(f for t in report.turns if t.case == case for f in (t.limit_before, t.limit_after)))
        print(
            f"C loop, {case}: {limit.throughput_batches_per_s:,.1f} batches/s, "
            f"P50 {limit.p50_ms:.3f} ms, P99 {limit.p99_ms:.3f} ms"
        )
    print(f"{report.rounds} rounds; others kept {report.others_cores:.2f} of {report.cpus} CPUs busy")


def _cells(ratios: Ratios) -> tuple[str, str, str]:
    return f"{ratios.throughput:.3f}", f"{ratios.p50:.3f}", f"{ratios.p99:.3f}"


def _bar(bar: Ratios) -> str:
    return f">= {bar.throughput:g}, <= {bar.p50:g}, <= {bar.p99:g}"
