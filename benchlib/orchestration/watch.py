"""What `nightly_watch` does: which declared sweeps were due and lack figures, and who is told, once."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

from croniter import croniter
from sqlalchemy import Engine

from benchlib.orchestration.declarations import Declarations, SweepDeclaration
from benchlib.orchestration.notify import Channel, notify, try_channels
from benchlib.orchestration.sweep_params import sweep_spec
from benchlib.report.notifications import Absence, broken_declarations, missing_nights, trial
from benchlib.settings import Settings
from benchlib.store.coverage import CoverageSpan, coverage
from benchlib.store.database import engine_for
from benchlib.store.declared_nights import NO_SWEEP, Due, declared_gaps, was_left_out
from benchlib.store.notices import tell_once

HOURS_ALLOWED = 6
"""From when a sweep is due until it is missed."""

NIGHTS_LOOKED_BACK = 7

log = logging.getLogger(__name__)


def look_for_missing(
    declarations: Declarations, *, at: datetime, hours_allowed: float = HOURS_ALLOWED, url: str = ""
) -> tuple[str, ...]:
    """Find what is missing of the night before ``at`` and tell people of what they were not told of.

    Nights of the week before on which nothing ran at all are told too, unless they have been: the watch may
    have been down with all else. ``url`` is the page that a message links to. Returns one sentence for each
    group of batch sizes that is missing, for each earlier night that was told now, and for each entry of the
    file that declares nothing because it is wrong.

    Raises:
        DatabaseUnreachable: nothing is known; nobody is told that a night is missing.
    """
    engine = engine_for(Settings.from_environment())
    try:
        dues = due_sweeps(declarations.sweeps, at, hours_allowed)
        absences = tuple(absence for due in dues for absence in _absences(engine, due, at))
        for due in dues:
            mine = [absence for absence in absences if absence.dag_id == due.dag_id]
            log.info(
                "%s, due %s: %s", due.dag_id, due.due_at, "lacks figures" if mine else "has every figure"
            )
        for absence in absences:
            log.error("%s", absence.sentence)
        _log_coverage(engine, at)
        earlier = tuple(_earlier_absences(engine, declarations.sweeps, at, hours_allowed))
        told = _tell(engine, declarations, (*earlier, *absences), url)
        absences = (*(each for each in earlier if _subject(each) in told), *absences)
        _tell_broken(engine, declarations, at, url)
    finally:
        engine.dispose()
    return (*(absence.sentence for absence in absences), *declarations.errors)


def send_trial(declarations: Declarations, url: str = "") -> tuple[str, ...]:
    """Send a trial message to every channel that is named; returns one sentence for each that failed."""
    named = [declarations.notify, *(sweep.notify or () for sweep in declarations.sweeps)]
    channels = tuple(dict.fromkeys(channel for each in named for channel in each))
    log.info("channels: %s", ", ".join(map(str, channels)) or "none")
    return try_channels(trial(url), channels)


def due_sweeps(
    sweeps: Iterable[SweepDeclaration], at: datetime, hours_allowed: float = HOURS_ALLOWED
) -> tuple[Due, ...]:
    """The sweeps that were due within the 24 hours that end ``hours_allowed`` before ``at``.

    One that is due several times within them counts once, from the first time: one figure a night will do.
    """
    return tuple(_due(sweeps, at.astimezone(UTC) - timedelta(hours=hours_allowed)))


def _due(sweeps: Iterable[SweepDeclaration], last: datetime) -> Iterator[Due]:
    # `get_next` gives what is after its start, and a sweep that is due at the very end is in.
    start = last - timedelta(days=1)
    for sweep in sweeps:
        if sweep.schedule is None:
            continue
        first: datetime = croniter(sweep.schedule, start).get_next(datetime)
        if first <= last:
            until: datetime = croniter(sweep.schedule, last).get_next(datetime)
            yield Due(sweep.name, first, sweep_spec(sweep.params), until)


def _absences(engine: Engine, due: Due, at: datetime) -> Iterator[Absence]:
    for gap in declared_gaps(engine, due, at):
        yield Absence(due.dag_id, due.due_at, gap.model, gap.batch_sizes, gap.reason)


def _earlier_absences(
    engine: Engine, sweeps: Sequence[SweepDeclaration], at: datetime, hours_allowed: float
) -> Iterator[Absence]:
    for days in range(NIGHTS_LOOKED_BACK - 1, 0, -1):
        for due in due_sweeps(sweeps, at - timedelta(days=days), hours_allowed):
            if was_left_out(engine, due):
                yield Absence(due.dag_id, due.due_at, due.spec.model.name, due.spec.batch_sizes, NO_SWEEP)


def _tell(
    engine: Engine, declarations: Declarations, absences: Sequence[Absence], url: str
) -> frozenset[str]:
    """One message for those of whom the same people want to know; returns the subjects that were told."""
    told: set[str] = set()
    interested: dict[tuple[Channel, ...], list[Absence]] = {}
    for absence in absences:
        interested.setdefault(declarations.notify_for(absence.dag_id), []).append(absence)
    for channels, theirs in interested.items():

        def tell(
            new: Sequence[str], channels: Sequence[Channel] = channels, theirs: Sequence[Absence] = theirs
        ) -> tuple[str, ...]:
            return notify(missing_nights([each for each in theirs if _subject(each) in new], url), channels)

        now = tell_once(engine, [_subject(absence) for absence in theirs], tell)
        if not now:
            log.info("nobody is told: there are no channels, none works, or they have been told before")
        told |= set(now)
    return frozenset(told)


def _tell_broken(engine: Engine, declarations: Declarations, at: datetime, url: str) -> None:
    """A declaration that is wrong runs no sweep, and nothing can be said to be missing of it."""

    def tell(new: Sequence[str]) -> tuple[str, ...]:
        return notify(broken_declarations(new, url), declarations.notify)

    for error in declarations.errors:
        log.error("%s", error)
    night = at.astimezone(UTC).date()
    tell_once(engine, [f"{night}: {error}" for error in declarations.errors], tell)


def _subject(absence: Absence) -> str:
    return f"missing night {absence.due_at:%Y-%m-%d} of {absence.dag_id}"


def _log_coverage(engine: Engine, at: datetime) -> None:
    """What else was measured before, by hand perhaps, and was not on this night: nobody is woken for that."""
    night = at.astimezone(UTC).date()
    for gap in coverage(engine, CoverageSpan(night, night)).gaps:
        sizes = ", ".join(map(str, gap.batch_sizes))
        log.info("`bench coverage`: %s on %s, batch size %s: %s", gap.model, gap.ran_on, sizes, gap.reason)
