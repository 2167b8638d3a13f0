"""The last night of a series: a change, a suspect, or still learning."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from benchlib.analysis.changes.model import Direction, Learning, Suspect, Tonight
from benchlib.analysis.changes.scan import (
    DEFAULTS,
    Baselines,
    change_of,
    check_direction,
    first_told,
    verdict_on,
)
from benchlib.analysis.changes.series import Series, Values, series_of
from benchlib.analysis.changes.thresholds import Thresholds


def judge_tonight(
    values: Values,
    *,
    thresholds: Thresholds | None = None,
    direction: Direction = "higher_is_better",
    epochs: Iterable[int] = (),
    others: Mapping[int, Values] | None = None,
) -> Tonight:
    """Judge the last night only, in the time of one night, however long the history.

    Called every night with the `Change.index` of all changes so far among the epochs, it tells exactly the
    changes that `detect_changes` finds in the whole history at once. A history may be cut at the front to
    ``baseline_nights + longest_test`` nights with data, and the epochs moved accordingly: it makes no
    difference.
    Without data tonight the answer is empty but for `learning`.

    Args:
        values: as in `detect_changes`.
        thresholds: as there.
        direction: as there.
        epochs: where the baseline began anew, by a person or by an earlier change; the last one counts.
        others: the same metric at other batch sizes, each with its last baseline only; a learning series
            borrows their spread.

    Raises:
        BadInput: as in `detect_changes`.
    """
    series, rule = series_of(values), thresholds or DEFAULTS
    check_direction(direction)
    reset = series.resets(epochs)[-1]
    still = _learning(series, reset, rule, others or {})
    if still or not series.figures.size or series.nights[-1] != series.length - 1:
        return Tonight(learning=still)
    night = series.figures.size - 1
    told = first_told(series.figures, reset, range(night, night + 1), rule)
    return Tonight(
        change=change_of(series, told, rule, direction) if told else None,
        suspect=_suspect(series, reset, rule, direction),
    )


def suspect(
    values: Values,
    *,
    thresholds: Thresholds | None = None,
    direction: Direction = "higher_is_better",
    epochs: Iterable[int] = (),
) -> Suspect | None:
    """The last night, if it alone is far off: 6 spreads from the baseline's median, and at least the effect.

    It is worth a second measurement the same night. ``epochs`` as in `judge_tonight`.

    Raises:
        BadInput: as in `detect_changes`.
    """
    return judge_tonight(values, thresholds=thresholds, direction=direction, epochs=epochs).suspect


def learning(
    values: Values,
    *,
    thresholds: Thresholds | None = None,
    epochs: Iterable[int] = (),
    others: Mapping[int, Values] | None = None,
) -> Learning | None:
    """Whether the series has too few nights since its last reset to tell a change; arguments as above.

    Raises:
        BadInput: as in `detect_changes`.
    """
    series, rule = series_of(values), thresholds or DEFAULTS
    return _learning(series, series.resets(epochs)[-1], rule, others or {})


def _learning(series: Series, reset: int, rule: Thresholds, others: Mapping[int, Values]) -> Learning | None:
    nights = series.figures.size - reset
    if nights > rule.least_nights:
        return None
    spreads = {size: _relative_spread(values, rule) for size, values in others.items()}
    known = {size: spread for size, spread in spreads.items() if spread is not None}
    since = int(series.nights[reset]) if nights else series.length
    borrowed = float(np.median(list(known.values()))) if known else None
    return Learning(since, nights, rule.least_nights, borrowed, tuple(sorted(known)))


def _relative_spread(values: Values, rule: Thresholds) -> float | None:
    figures = series_of(values).figures[-rule.baseline_nights :]
    if figures.size < rule.least_nights:
        return None
    last = Baselines.before(figures, 0, np.array([figures.size]), rule)
    return float(last.spread[0] / last.median[0])


def _suspect(series: Series, reset: int, rule: Thresholds, direction: Direction) -> Suspect | None:
    night = series.figures.size - 1
    before = Baselines.before(series.figures, reset, np.array([night]), rule)
    value, median, spread = float(series.figures[night]), float(before.median[0]), float(before.spread[0])
    sigma, relative = (value - median) / spread, value / median - 1
    if abs(sigma) < rule.suspect_sigma or abs(relative) < rule.effect:
        return None
    return Suspect(
        index=int(series.nights[night]),
        direction=verdict_on(relative, direction),
        value=value,
        relative_change=relative,
        sigma=sigma,
        median=median,
        spread=spread,
        limit=rule.suspect_sigma,
        effect_floor=rule.effect,
        thresholds_version=rule.version,
    )
