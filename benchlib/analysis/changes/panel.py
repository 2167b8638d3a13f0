"""One series out of those of all batch sizes, in which what all of them do shows most clearly."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

import numpy as np

from benchlib.analysis.changes.model import GeometricMean
from benchlib.analysis.changes.series import Floats, Values, series_of
from benchlib.errors import BadInput

FOUNDING_NIGHTS = 12
"""The batch sizes on most of these take part."""

LINK_NIGHTS = 12
"""So many complete nights say how the sizes present relate to all of them."""

LEAST_LINK_NIGHTS = 3


def geometric_mean(by_batch_size: Mapping[int, Values]) -> GeometricMean:
    """The geometric mean over batch sizes, night by night, that missing sizes do not move.

    Take the plain mean of whatever sizes there are, and it jumps when a slow one fails. Here the sizes that
    take part are those with data on at least half of the first 12 nights with any; a size that joins later
    does not, until the series is begun anew. A night on which all of them have data has their exact geometric
    mean. On a night that lacks some, the mean of those present is multiplied by the median ratio of the full
    mean to theirs over the last 12 complete nights: links go to complete nights only, so that errors never
    add up. A night has no value where fewer than half of the sizes are present, or there are fewer than 3
    complete nights before it. No night's value depends on a later night once 12 nights have data.

    Args:
        by_batch_size: batch size to its series; all have the same nights.

    Raises:
        BadInput: the series differ in length, or a value is not positive and finite.
    """
    lengths = {size: len(values) for size, values in by_batch_size.items()}
    if len(set(lengths.values())) > 1:
        raise BadInput("by_batch_size", lengths, "series of the same nights")
    if not by_batch_size:
        return GeometricMean((), (), ())
    sizes = sorted(by_batch_size)
    logs = np.array([_logs(by_batch_size[size]) for size in sizes])
    members = _members(logs)
    values, estimated = _means(logs[members])
    return GeometricMean(
        values=tuple(np.exp(values).tolist()),
        batch_sizes=tuple(size for size, member in zip(sizes, members, strict=True) if member),
        estimated=tuple(estimated),
    )


def renewed_mean(
    by_batch_size: Mapping[int, Values], epochs: Iterable[int] = ()
) -> tuple[Floats, tuple[int, ...]]:
    """`geometric_mean`, begun anew at every epoch, and where the sizes that took part were given up.

    They were when, of the nights on which any size has data, fewer than half of them are there on 12 running:
    at the first of these the mean begins anew, with the sizes that are there then. Before the twelfth there
    is no value, so that no night's value depends on a later night once 12 nights have data.

    Args:
        by_batch_size: as in `geometric_mean`, at least one.
        epochs: indices of nights.

    Returns the mean, shape (nights,), and the indices at which it begins anew, ascending: values on both
    sides of one are of different sizes and must not be compared.

    Raises:
        BadInput: as in `geometric_mean`.
    """
    nights = len(next(iter(by_batch_size.values())))
    begins = sorted({0, *(each for each in epochs if 0 < each < nights)})
    means, at = [np.empty(0)], 0
    while at < len(begins):
        stop = begins[at + 1] if at + 1 < len(begins) else nights
        part = {size: values[begins[at] : stop] for size, values in by_batch_size.items()}
        mean = geometric_mean(part)
        until = _given_up(part, mean)
        if until is not None:
            begins.insert(at + 1, begins[at] + until)
        means.append(np.array(mean.values[:until], dtype=np.float64))
        at += 1
    return np.concatenate(means), tuple(begins[1:])


def _given_up(by_batch_size: Mapping[int, Values], mean: GeometricMean) -> int | None:
    """The first of 12 nights running that lack more than half of the sizes of the mean."""
    if not mean.batch_sizes:
        return None
    there = {size: ~np.isnan(_logs(values)) for size, values in by_batch_size.items()}
    nights = np.flatnonzero(np.any(list(there.values()), axis=0))
    present = np.sum([there[size] for size in mean.batch_sizes], axis=0)[nights]
    few = 2 * present < len(mean.batch_sizes)
    bounds = [-1, *np.flatnonzero(~few).tolist(), few.size]
    return next(
        (int(nights[one + 1]) for one, other in pairwise(bounds) if other - one > FOUNDING_NIGHTS), None
    )


def _logs(values: Values) -> Floats:
    series = series_of(values)
    logs = np.full(series.length, np.nan)
    logs[series.nights] = np.log(series.figures)
    return logs


def _members(logs: Floats) -> Sequence[bool]:
    """Which sizes take part."""
    there = ~np.isnan(logs)
    founding = np.flatnonzero(there.any(axis=0))[:FOUNDING_NIGHTS]
    return [bool(2 * row.sum() >= founding.size > 0) for row in there[:, founding]]


def _means(logs: Floats) -> tuple[Floats, list[int]]:
    """Mean logarithm of each night, NaN where there is none, and the nights that lacked a size."""
    means = np.full(logs.shape[1], np.nan)
    if not len(logs):
        return means, []
    there = ~np.isnan(logs)
    present = there.sum(axis=0)
    complete = present == len(logs)
    means[complete] = logs[:, complete].mean(axis=0)
    estimated = []
    for night in np.flatnonzero(~complete & (2 * present >= len(logs))):
        links = np.flatnonzero(complete[:night])[-LINK_NIGHTS:]
        if links.size >= LEAST_LINK_NIGHTS:
            rows = there[:, night]
            gap = np.median(means[links] - logs[np.ix_(rows, links)].mean(axis=0))
            means[night] = logs[rows, night].mean() + gap
            estimated.append(int(night))
    return means, estimated
