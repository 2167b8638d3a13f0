"""How a history is put into words, the same in charts, terminals and reports."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Literal

from benchlib.report.table import NOTE_CHARS, SHORT_ID_CHARS, one_line, shorten
from benchlib.store.environments import EnvironmentDifference
from benchlib.store.history import History, Metric, MissingNight, NightReading, Series
from benchlib.store.judgement_lists import ChangeLine

METRIC_NAMES: Mapping[Metric, str] = {
    "throughput_inf_per_s": "Throughput",
    "p50_ms": "P50",
    "p90_ms": "P90",
    "p95_ms": "P95",
    "p99_ms": "P99",
    "p99_9_ms": "P99.9",
}


NightStanding = Literal["valid", "imported", "not valid", "measured again"]
MissingState = Literal["no sweep", "no figure yet", "no figure"]


def standing_of(reading: NightReading) -> NightStanding:
    """What a figure is worth; only a valid one is part of the line and of the level."""
    if reading.status == "invalid":
        return "not valid"
    if reading.confirms_sweep_id is not None:
        return "measured again"
    return "imported" if reading.origin == "import" else "valid"


def missing_state(missing: MissingNight) -> MissingState:
    """Why a night has no figure, in two words."""
    if missing.state == "failed":
        return "no figure"
    return "no sweep" if missing.sweep_id is None else "no figure yet"


def unit_of(metric: Metric) -> str:
    """The unit that the metric's name ends in, as people write it."""
    return "inf/s" if metric == "throughput_inf_per_s" else "ms"


def differences(changed: Iterable[EnvironmentDifference]) -> str:
    """Such as 'neuronx_cc 2.20 → 2.21, kernel 6.8 → 6.11', likeliest cause first; empty when nothing did."""
    words = (f"{each.field} {each.before or 'none'} → {each.after or 'none'}" for each in changed)
    return shorten(", ".join(words), NOTE_CHARS)


def series_facts(series: Series) -> tuple[str, ...]:
    """What tells a series from others, without its model and batch size."""
    facts = (
        series.instance_type,
        f"backend {series.backend}",
        f"sequence length {series.sequence_length}",
        series.precision,
        None if series.scenario == "offline" else f"scenario {series.scenario}",
        series.arrivals,
        series.model_variant,
        _count(series.replicas, "replica"),
        _count(series.workers, "worker"),
        series.worker_mode and f"mode {series.worker_mode}",
        f"series {str(series.series_id)[:SHORT_ID_CHARS]}",
    )
    return tuple(fact for fact in facts if fact)


def series_warning(history: History) -> str:
    """Whose figures these are when they are no inf2 result; empty when they are."""
    series = history.series
    if series.hardware:
        ours = any(reading.origin == "dag" for reading in history.nights)
        return "" if ours or not history.nights else "Imported figures, not measured by this tool."
    stand_in = "a CPU" if series.backend == "cpu" else "a stand-in"
    return f"Measured on {stand_in}: not an inf2 result."


def _count(count: int | None, what: str) -> str | None:
    return None if count is None else f"{count} {what}{'' if count == 1 else 's'}"


@dataclass(frozen=True)
class Stretch:
    """Nights in a row that lack a figure for the same reason."""

    first: date
    last: date
    state: MissingState
    reason: str


def stretches(missing: Iterable[MissingNight]) -> list[Stretch]:
    """The nights without a figure, put together where they follow each other."""
    found: list[Stretch] = []
    for each in missing:
        alone = Stretch(each.night, each.night, missing_state(each), shorten(each.reason, NOTE_CHARS))
        if found and _continues(found[-1], alone):
            found[-1] = replace(found[-1], last=each.night)
        else:
            found.append(alone)
    return found


def _continues(stretch: Stretch, following: Stretch) -> bool:
    adjacent = following.first - stretch.last == timedelta(days=1)
    return adjacent and (stretch.state, stretch.reason) == (following.state, following.reason)


def percent(share: float, decimals: int = 1) -> str:
    """A fraction as a signed percentage with a real minus sign, such as '-6.0 %'."""
    return f"{100 * share:+.{decimals}f} %".replace("-", "\N{MINUS SIGN}")


def change_words(change: ChangeLine) -> str:
    """Such as 'worse by -6.0 % (acknowledged by Ana)'."""
    by = f" by {change.author}" if change.author else ""
    return one_line(f"{change.direction}: {percent(change.relative_change)} ({change.status}{by})")
