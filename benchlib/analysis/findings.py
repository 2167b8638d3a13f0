"""What one configuration's nights have that is worth telling: changes, single nights far off, slow trends.

A configuration is what is measured at several batch sizes; its history has one series per batch size, and the
geometric mean over them, in which what all of them do shows most clearly. Pure: arrays in, findings out.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, timedelta
from functools import cached_property
from typing import Any, Final, Literal

import numpy as np

from benchlib.analysis.changes import (
    Change,
    Learning,
    Suspect,
    Thresholds,
    changes_and_ways_back,
    default_thresholds,
    deterministic_changes,
    direction_of,
    judge_tonight,
    noise_label,
    renewed_mean,
    returned_to,
    second_opinion,
    trend,
)
from benchlib.analysis.changes.series import Floats
from benchlib.errors import BadInput

MEASURED: Final = ("throughput_inf_per_s", "p50_ms", "p90_ms", "p99_ms")
"""The metrics whose night values are judged by the scan; in the order in which they lead an incident."""

COMPILED: Final = ("compile_duration_s", "peak_rss_bytes", "artifact_size_bytes")
"""The figures of a compilation, which hardly vary and are judged by the exact rule."""

EXACT_PER_BATCH_SIZE: Final = ("artifact_size_bytes",)
"""The other figures of a compilation are judged as the mean over the batch sizes, each being one run; of a
model that has only one batch size, by that."""

COMPILE_EFFECT: Final = 0.1
"""Least change of a compilation's time or memory: each program is compiled once, on a host that does more."""

NEARBY_NIGHTS: Final = 3
HINDSIGHT_NIGHTS: Final = 14
"""So long after a change was told the second method may still come to agree with it."""

STILL_OFF: Final = 0.5
"""A night far off lasts while the later ones keep at least so much of its distance."""

CONFIDENCE: Final = 0.95

Kind = Literal["missing", "failed", "insufficient_data", "suspect", "outlier", "trend"]

RULES: Mapping[str, float | None] = {"1": None, "1-sensitive": 5.0, "1-strict": 6.0}
"""Version of the thresholds to the limit of |t| of a batch size; ``None``: by the number of series."""


@dataclass(frozen=True)
class Rules:
    """One set of thresholds."""

    version: str
    series_count: int
    """Series times metrics that are judged every night, of all configurations."""

    def thresholds(self, metric: str, *, mean: bool) -> Thresholds:
        """Those of one metric."""
        level: Literal["geometric_mean", "batch_size"] = "geometric_mean" if mean else "batch_size"
        own = default_thresholds(metric, level, max(1, self.series_count))
        h = None if mean else RULES[self.version]
        return own.model_copy(update={"version": self.version, "h": h or own.h})


def rules_of(version: str, series_count: int) -> Rules:
    """The thresholds of a version.

    Raises:
        BadInput: there is no such version.
    """
    if version not in RULES:
        raise BadInput("thresholds", version, f"one of {', '.join(RULES)}")
    return Rules(version, series_count)


@dataclass(frozen=True)
class SeriesHistory:
    """One batch size, night by night."""

    series_id: uuid.UUID
    batch_size: int
    sweeps: tuple[uuid.UUID | None, ...]
    """The first sweep of each night with a value; ``None``: none."""
    values: Mapping[str, Floats]
    """Metric to its values, shape (nights,); NaN where there is none."""
    epochs: tuple[int, ...] = ()
    """Where a person made the baseline begin anew."""
    confirming: Mapping[int, Mapping[str, float]] | None = None
    """Night to what was measured again that night because the night's value was far off."""


@dataclass(frozen=True)
class History:
    """One configuration, night by night; every night of the calendar from the first to the last."""

    configuration_id: uuid.UUID
    model: str
    hardware: bool
    first_night: date
    nights: int
    series: tuple[SeriesHistory, ...]

    def night(self, index: int) -> date:
        """The date of a night."""
        return self.first_night + timedelta(days=index)

    def until(self, nights: int) -> History:
        """As it was after so many nights."""
        return replace(
            self, nights=nights, series=tuple(_cut(each, nights) for each in self.series) if nights else ()
        )

    @cached_property
    def sweeps(self) -> tuple[uuid.UUID | None, ...]:
        """The first sweep of each night with a value at any batch size."""
        rows = zip(*(each.sweeps for each in self.series), strict=True)
        return tuple(next((sweep for sweep in row if sweep is not None), None) for row in rows)

    @property
    def epochs(self) -> tuple[int, ...]:
        """Where the baseline of the mean begins anew: where that of at least half of the batch sizes does."""
        every = [epoch for each in self.series for epoch in each.epochs]
        return tuple(sorted({each for each in every if 2 * every.count(each) >= len(self.series)}))


def _cut(series: SeriesHistory, nights: int) -> SeriesHistory:
    values = {name: figures[:nights] for name, figures in series.values.items()}
    epochs = tuple(each for each in series.epochs if each < nights)
    return replace(series, sweeps=series.sweeps[:nights], values=values, epochs=epochs)


@dataclass(frozen=True)
class Finding:
    """A shift, ready to be stored; ``batch_size`` is ``None`` for the geometric mean."""

    series_id: uuid.UUID | None
    batch_size: int | None
    metric: str
    direction: Literal["worse", "better"]
    last_good_sweep_id: uuid.UUID
    first_bad_sweep_id: uuid.UUID
    first_bad_night: date
    told_night: date
    """The night that could first tell it."""
    before_value: float
    after_value: float
    relative_low: float
    relative_high: float
    detector: str
    evidence: Mapping[str, Any]
    agreed: bool | None = None
    suspect: bool = False
    """One night only, so far."""

    @property
    def relative_change(self) -> float:
        """-0.03 is a loss of 3 %."""
        return self.after_value / self.before_value - 1

    @property
    def single(self) -> bool:
        """Judged by one night, measured twice or not."""
        return "sigma" in self.evidence

    @property
    def rank(self) -> tuple[int, bool, float]:
        """What leads an incident comes first."""
        metrics = (*MEASURED, *COMPILED)
        return metrics.index(self.metric), self.batch_size is not None, -abs(self.relative_change)


@dataclass(frozen=True)
class NightEvent:
    """What a night had that is no lasting change."""

    night: date
    kind: Kind
    series_id: uuid.UUID | None
    batch_size: int | None
    metric: str | None
    sweep_id: uuid.UUID | None
    detector: str
    evidence: Mapping[str, Any]


@dataclass(frozen=True)
class Findings:
    """All of one configuration."""

    changes: tuple[Finding, ...]
    events: tuple[NightEvent, ...]
    learning: tuple[tuple[int, Learning], ...]
    """Batch sizes whose throughput has too few nights for a change to be told."""


def find(history: History, rules: Rules, first: date, recent: date) -> Findings:
    """What the history has, judged with these rules.

    Args:
        history: all of it: what was told earlier decides what is told later.
        rules: the thresholds.
        first: changes that could be told before this night are left out.
        recent: single nights far off, and trends, are looked for from this night on only.
    """
    lines = [(line, _scan(line, rules)) for line in _lines(history)]
    changes = [
        _finding(history, line, change, told, rules)
        for line, told in lines
        for change in told.changes
        if history.night(change.told_index) >= first
    ]
    events, suspects = _far_off(history, lines, rules, recent)
    still = [(line.batch_size, _learning(line, told, rules)) for line, told in lines]
    return Findings(
        changes=(*changes, *suspects),
        events=(*events, *_trends(history, [line for line, _ in lines], rules, recent)),
        learning=tuple((size, each) for size, each in still if size is not None and each is not None),
    )


def to_confirm(history: History, rules: Rules, among: Collection[int], at_most: int) -> tuple[int, ...]:
    """Those of some batch sizes whose last night is so far off that it should be measured again.

    The farthest first.
    """
    sigmas: dict[int, float] = {}
    for line in _lines(history):
        if line.batch_size not in among or line.metric not in MEASURED:
            continue
        tonight = _tonight(line, line.values, history.nights - 1, _scan(line, rules).resets, rules)
        if tonight is not None and line.batch_size is not None:
            sigmas[line.batch_size] = max(abs(tonight.sigma), sigmas.get(line.batch_size, 0.0))
    return tuple(sorted(sigmas, key=lambda size: -sigmas[size])[:at_most])


@dataclass(frozen=True)
class _Line:
    """One metric of one batch size, or of the geometric mean."""

    series: SeriesHistory | None
    metric: str
    values: Floats
    epochs: tuple[int, ...]
    sweeps: tuple[uuid.UUID | None, ...]

    @property
    def series_id(self) -> uuid.UUID | None:
        return self.series.series_id if self.series else None

    @property
    def batch_size(self) -> int | None:
        return self.series.batch_size if self.series else None


@dataclass(frozen=True)
class _Scan:
    """What a line was told of."""

    changes: list[Change]
    """Oldest first, the ways back among them."""
    backs: frozenset[int] = frozenset()
    """The indices of those that are ways back."""

    @property
    def resets(self) -> list[int]:
        """Where the baseline began anew."""
        return [each.index for each in self.changes]


def _lines(history: History) -> Iterator[_Line]:
    for metric in (*MEASURED, *COMPILED):
        by_size = {each.batch_size: each.values[metric] for each in history.series}
        if all(np.isnan(values).all() for values in by_size.values()):
            continue
        if metric in (*MEASURED, *EXACT_PER_BATCH_SIZE) or len(by_size) == 1:
            for each in history.series:
                yield _Line(each, metric, each.values[metric], each.epochs, each.sweeps)
        if len(by_size) > 1 and metric not in EXACT_PER_BATCH_SIZE:
            mean, begins = renewed_mean(by_size, history.epochs)
            yield _Line(None, metric, mean, begins, history.sweeps)


def _scan(line: _Line, rules: Rules) -> _Scan:
    if line.metric in COMPILED:
        least = 0.0 if line.metric in EXACT_PER_BATCH_SIZE else COMPILE_EFFECT
        found = deterministic_changes(line.values, epochs=line.epochs)
        return _Scan([each for each in found if abs(each.relative_change) >= least])
    thresholds = rules.thresholds(line.metric, mean=line.series is None)
    direction = direction_of(line.metric)
    told = changes_and_ways_back(line.values, thresholds=thresholds, direction=direction, epochs=line.epochs)
    return _Scan(*told)


def _finding(history: History, line: _Line, change: Change, among: _Scan, rules: Rules) -> Finding:
    good, bad = line.sweeps[change.last_good_index], line.sweeps[change.index]
    assert good is not None
    assert bad is not None
    relative = change.level_after / change.level_before - 1
    return Finding(
        series_id=line.series_id,
        batch_size=line.batch_size,
        metric=line.metric,
        direction=change.direction,
        last_good_sweep_id=good,
        first_bad_sweep_id=bad,
        first_bad_night=history.night(change.index),
        told_night=history.night(change.told_index),
        before_value=change.level_before,
        after_value=change.level_after,
        relative_low=_low(change.relative_low, relative),
        relative_high=max(change.relative_high, relative),
        detector=_detector(line, rules, is_back=change.index in among.backs),
        evidence=_evidence(history, line, change, among.changes),
        agreed=_agreed(line, change, rules),
    )


def _low(low: float, relative: float) -> float:
    """The lower end of an interval, which no figure above 0 can have at -100 % or beyond."""
    return min(max(low, (relative - 1) / 2), relative)


def _detector(line: _Line, rules: Rules, *, is_back: bool = False) -> str:
    rule = "exact" if line.metric in COMPILED else "way back" if is_back else "scan"
    return f"{rule} {rules.version}"


def _evidence(history: History, line: _Line, change: Change, among: list[Change]) -> dict[str, Any]:
    """All that the decision was made from, with dates in place of indices."""
    evidence = asdict(change.evidence)
    first, last = evidence.pop("baseline_first"), evidence.pop("baseline_last")
    earlier = returned_to(line.values, among, change)
    before = line.values[first : change.index]
    return {
        **evidence,
        "baseline_first_night": history.night(first).isoformat(),
        "baseline_last_night": history.night(last).isoformat(),
        "told_night": history.night(change.told_index).isoformat(),
        "score": change.score,
        "noise": noise_label(before),
        "back_at": None
        if earlier is None
        else {
            "level": earlier.level,
            "first_night": history.night(earlier.first).isoformat(),
            "last_night": history.night(earlier.last).isoformat(),
        },
    }


def _agreed(line: _Line, change: Change, rules: Rules) -> bool | None:
    if line.metric in COMPILED:
        return None
    known = line.values[: change.told_index + 1 + HINDSIGHT_NIGHTS]
    thresholds = rules.thresholds(line.metric, mean=line.series is None)
    return {"agrees": True, "differs": False, "none": None}[
        second_opinion(known, change, thresholds=thresholds)
    ]


def _tonight(line: _Line, values: Floats, night: int, resets: Sequence[int], rules: Rules) -> Suspect | None:
    """The suspect of a night, as far as was known that night; ``resets`` are the changes before it."""
    if np.isnan(values[night]):
        return None
    epochs = [*(each for each in line.epochs if each <= night), *(each for each in resets if each < night)]
    thresholds = rules.thresholds(line.metric, mean=line.series is None)
    begins = max(epochs, default=0)
    before = values[begins:night]
    before = before[~np.isnan(before)][-thresholds.baseline_nights :]
    # Most nights are near, and the whole judgement takes many times as long as this.
    if before.size < thresholds.least_nights:
        return None
    if abs(values[night] / np.median(before) - 1) < thresholds.effect:
        return None
    direction = direction_of(line.metric)
    return judge_tonight(
        values[: night + 1], thresholds=thresholds, direction=direction, epochs=epochs
    ).suspect


def _far_off(
    history: History, lines: Sequence[tuple[_Line, _Scan]], rules: Rules, first: date
) -> tuple[list[NightEvent], list[Finding]]:
    """Single nights far off: events, unless a change explains them; one that lasts so far is a shift too."""
    events: list[NightEvent] = []
    shifts: list[Finding] = []
    for line, told in lines:
        if line.series is not None and line.metric in MEASURED:
            begins = max(0, (first - history.first_night).days)
            for night in _far_off_nights(line, told.resets, begins, rules):
                _tell(history, line, night, rules, events, shifts)
    return events, shifts


@dataclass(frozen=True)
class _Again:
    """What the second measurement of a night said."""

    value: float
    persists: bool


@dataclass(frozen=True)
class _FarOff:
    """A night far off that no change explains."""

    suspect: Suspect
    again: _Again | None
    """The second measurement, if there was one."""
    lasts: bool
    """No night since then was any nearer to what was usual."""


def _far_off_nights(line: _Line, resets: Sequence[int], first: int, rules: Rules) -> Iterator[_FarOff]:
    for night in range(first, len(line.values)):
        before = [each for each in resets if each < night]
        suspect = _tonight(line, line.values, night, before, rules)
        if suspect is None or any(abs(night - each) <= NEARBY_NIGHTS for each in resets):
            continue
        yield _FarOff(suspect, _again(line, suspect, before, rules), _lasts(line, suspect))


def _lasts(line: _Line, suspect: Suspect) -> bool:
    later = line.values[suspect.index + 1 :]
    shares = (later[~np.isnan(later)] / suspect.median - 1) / suspect.relative_change
    return bool(np.all(shares >= STILL_OFF))


def _tell(
    history: History,
    line: _Line,
    night: _FarOff,
    rules: Rules,
    events: list[NightEvent],
    shifts: list[Finding],
) -> None:
    confirmed = night.again is not None and night.again.persists
    pending = night.lasts and night.again is None
    told = any(
        each.suspect and (each.series_id, each.metric) == (line.series_id, line.metric) for each in shifts
    )
    if confirmed or (pending and not told):
        shifts.append(_shift(history, line, night, rules))
    if not confirmed:
        events.append(_event(history, line, night, "suspect" if pending else "outlier", rules))


def _again(line: _Line, suspect: Suspect, resets: Sequence[int], rules: Rules) -> _Again | None:
    """The second measurement of that night, and whether it is as far off, in the same direction."""
    assert line.series is not None
    value = (line.series.confirming or {}).get(suspect.index, {}).get(line.metric, np.nan)
    if np.isnan(value):
        return None
    instead = line.values[: suspect.index + 1].copy()
    instead[suspect.index] = value
    second = _tonight(line, instead, suspect.index, resets, rules)
    return _Again(value, second is not None and second.direction == suspect.direction)


def _shift(history: History, line: _Line, night: _FarOff, rules: Rules) -> Finding:
    """A single night as a shift, from the last one with data before it."""
    suspect, again = night.suspect, night.again
    earlier = np.flatnonzero(~np.isnan(line.values[: suspect.index]))
    good, bad = line.sweeps[int(earlier[-1])], line.sweeps[suspect.index]
    assert good is not None
    assert bad is not None
    after = float(np.sqrt(suspect.value * again.value)) if again else suspect.value
    margin = 2 * suspect.spread / suspect.median
    relative = after / suspect.median - 1
    return Finding(
        series_id=line.series_id,
        batch_size=line.batch_size,
        metric=line.metric,
        direction=suspect.direction,
        last_good_sweep_id=good,
        first_bad_sweep_id=bad,
        first_bad_night=history.night(suspect.index),
        told_night=history.night(suspect.index),
        before_value=suspect.median,
        after_value=after,
        relative_low=_low(relative - margin, relative),
        relative_high=relative + margin,
        detector=_detector(line, rules),
        evidence=_suspicion(line, night),
        suspect=again is None,
    )


def _suspicion(line: _Line, night: _FarOff) -> dict[str, Any]:
    own = asdict(night.suspect)
    del own["index"], own["direction"]
    spread = line.series.values["throughput_spread"][night.suspect.index] if line.series else np.nan
    return {
        **own,
        "confirming_value": night.again.value if night.again else None,
        "confirmed": night.again.persists if night.again else None,
        "spread_of_the_rounds": None if np.isnan(spread) else float(spread),
    }


def _event(history: History, line: _Line, night: _FarOff, kind: Kind, rules: Rules) -> NightEvent:
    return NightEvent(
        night=history.night(night.suspect.index),
        kind=kind,
        series_id=line.series_id,
        batch_size=line.batch_size,
        metric=line.metric,
        sweep_id=line.sweeps[night.suspect.index],
        detector=_detector(line, rules),
        evidence=_suspicion(line, night),
    )


def _learning(line: _Line, told: _Scan, rules: Rules) -> Learning | None:
    if line.series is None or line.metric != MEASURED[0]:
        return None
    thresholds = rules.thresholds(line.metric, mean=False)
    epochs = (*line.epochs, *told.resets)
    return judge_tonight(line.values, thresholds=thresholds, epochs=epochs).learning


def _trends(history: History, lines: Sequence[_Line], rules: Rules, first: date) -> Iterator[NightEvent]:
    """A note for the week, of what all batch sizes do: judged on its Monday, never more than once."""
    several = len(history.series) > 1
    judged = [each for each in lines if each.metric in MEASURED and not (several and each.series)]
    for night in range(max(0, (first - history.first_night).days), history.nights):
        if history.night(night).weekday() == 0:
            for line in judged:
                yield from _trend(history, line, night, rules)


def _trend(history: History, line: _Line, night: int, rules: Rules) -> Iterator[NightEvent]:
    known = line.values[: night + 1].copy()
    known[: max((each for each in line.epochs if each <= night), default=0)] = np.nan
    found = trend(known, direction=direction_of(line.metric))
    if found is not None and found.notable:
        yield NightEvent(
            night=history.night(night),
            kind="trend",
            series_id=line.series_id,
            batch_size=line.batch_size,
            metric=line.metric,
            sweep_id=line.sweeps[night],
            detector=_detector(line, rules),
            evidence=asdict(found),
        )
