"""Judging the stored history: what `detect` does every night, and `bench judge` over any range of nights.

Detection is a function of what is stored: it may run again at any time, over any nights, with any thresholds,
and a second run over the same results changes no row.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from typing import Any

from sqlalchemy import Engine, select

from benchlib.analysis.comparison import Comparison
from benchlib.analysis.findings import Findings, History, Rules, find, rules_of, to_confirm
from benchlib.errors import BadInput
from benchlib.orchestration.notify import Channel, notify
from benchlib.orchestration.shelf import open_shelf
from benchlib.orchestration.steps import compile_batch_size, measure_batch_size, sweep_done
from benchlib.records import SweepRecord, sweep_id_of
from benchlib.report.incidents import Explanation, Program, explain, incident_message, verdict_sentences
from benchlib.settings import Settings
from benchlib.store import detection
from benchlib.store.acceptance import write_due_epochs
from benchlib.store.database import engine_for
from benchlib.store.detection import Configuration, Moved, Span, Stored
from benchlib.store.faults import explained
from benchlib.store.incidents import (
    Chosen,
    IncidentLine,
    is_same_program,
    list_incident_changes,
    list_incidents,
    list_night_events,
)
from benchlib.store.judgements import IncidentStatus
from benchlib.store.notices import tell_once
from benchlib.store.tables import NoticeRow

log = logging.getLogger(__name__)

RECENT_NIGHTS = 14
"""What a nightly run judges: older nights have been judged before, and are nobody's news."""

EVENT_NIGHTS = 14
"""Of a longer range, only so many last nights are searched for gaps and single nights far off."""

MOST_CONFIRMED = 3
"""At most so many batch sizes are measured again in one night, of all sweeps together."""

THRESHOLDS = "1"

TOLD: tuple[IncidentStatus, ...] = ("confirmed", "reopened", "recovered")
"""What the detector says that people want to hear; one night far off is not news yet."""

MOST_TOLD = 1000


@dataclass(frozen=True)
class Asked:
    """Which nights of what are judged, and how."""

    first: date | None = None
    """``None``: from the first one that is stored."""
    last: date | None = None
    """As if it were the newest one; ``None``: that is what it is."""
    thresholds: str = THRESHOLDS
    model: str | None = None
    backend: str | None = None
    dry_run: bool = False


@dataclass(frozen=True)
class Judged:
    """One configuration and what became of it."""

    configuration: Configuration
    findings: Findings
    gaps: int
    stored: Stored


@dataclass(frozen=True)
class Outcome:
    """All that was judged."""

    asked: Asked
    span: Span | None
    """``None``: there was nothing."""
    judged: tuple[Judged, ...]

    @property
    def moved(self) -> tuple[Moved, ...]:
        """The incidents whose status changed."""
        return tuple(moved for each in self.judged for moved in each.stored.moved)

    @property
    def rows(self) -> int:
        """How many rows were written or removed."""
        return sum(each.stored.rows for each in self.judged)

    @property
    def events(self) -> Counter[str]:
        """Kind of event to how many there were in the nights that were judged."""
        kinds = Counter(event.kind for each in self.judged for event in each.findings.events)
        return kinds + Counter({"gap": sum(each.gaps for each in self.judged)})


def judge(engine: Engine, asked: Asked) -> Outcome:
    """Find what changed and store it, one transaction per configuration.

    Raises:
        BadInput: there are no such thresholds, or the last night is before the first.
        DatabaseUnreachable: the database does not answer; what was judged before stays.
    """
    if not asked.dry_run:
        for epoch in write_due_epochs(engine):
            log.info("%d series begin anew with an accepted upgrade", len(epoch.series_ids))
    with detection.judging(engine) as connection:
        newest = detection.last_night(connection)
        chosen = detection.configurations(connection, asked.model, asked.backend)
        last = min(asked.last or newest, newest) if newest else None
        count = detection.series_count(connection, last) if last else 0
    rules = rules_of(asked.thresholds, count)
    if asked.first and asked.last and asked.last < asked.first:
        raise BadInput("last night", str(asked.last), f"a night that is not before the first, {asked.first}")
    if last is None:
        return Outcome(asked, None, ())
    span = Span(asked.first or date.min, last)
    return Outcome(asked, span, tuple(_judged(engine, chosen, rules, span, asked.dry_run)))


def _judged(
    engine: Engine, chosen: Sequence[Configuration], rules: Rules, span: Span, dry_run: bool
) -> Iterator[Judged]:
    for configuration in chosen:
        with detection.judging(engine, dry_run) as connection:
            history = detection.read_history(connection, configuration, span.last)
            if history is None:
                continue
            # Searched night by night, and of no use when it is years old.
            recent = Span(max(span.first, span.last - timedelta(days=EVENT_NIGHTS - 1)), span.last)
            findings = find(history, rules, span.first, recent.first)
            gaps = detection.read_gaps(connection, history, recent)
            stored = detection.store(connection, history, findings, gaps, recent)
        yield Judged(configuration, findings, len(gaps), stored)


@dataclass(frozen=True)
class Verdict:
    """What came of judging a sweep."""

    comparison: Comparison
    lines: tuple[IncidentLine, ...]
    """The incidents whose status the detector changed since the sweep began, but for those that are muted."""
    events: Mapping[str, int]
    """Kind of event to how many the sweep's night has."""
    learning: int
    """Series of throughput with too few nights for a change to be told."""
    thresholds: str

    def of(self, direction: str) -> list[int]:
        """The incidents that began, or came back, in this direction."""
        began = [each for each in self.lines if each.status != "recovered"]
        return [each.incident_id for each in began if each.direction == direction]

    @property
    def word(self) -> str:
        """``worse``, ``better`` or ``no change``."""
        return next((each for each in ("worse", "better") if self.of(each)), "no change")

    def extra(self) -> dict[str, Any]:
        """What an event of the asset tells of it, ready for JSON."""
        return {
            **asdict(sweep_done(self.comparison, self.word)),
            "worse": self.of("worse"),
            "better": self.of("better"),
            "recovered": [each.incident_id for each in self.lines if each.status == "recovered"],
            "events": dict(self.events),
            "learning": self.learning,
            "thresholds": self.thresholds,
        }


def judge_sweep(sweep: SweepRecord) -> Verdict:
    """Judge the last fortnight of the model that a sweep is of, as of the sweep's night, and log what is new.

    It may be done again: what it returns does not depend on which try found it.

    Raises:
        DatabaseUnreachable: the database does not answer.
    """
    settings = Settings.from_environment()
    with open_shelf(settings) as shelf:
        engine = shelf.repository.engine
        comparison = shelf.comparison(sweep)
        outcome = judge(engine, _nightly(sweep))
        lines = _news(engine, outcome, sweep)
        events = list_night_events(engine, sweep.night, sweep.night, model=sweep.spec.model.name)
    for sentence in verdict_sentences(lines):
        log.info("%s", sentence)
    kinds = Counter(each.kind for each in events)
    log.info("events of the night: %s", ", ".join(f"{n} {kind}" for kind, n in kinds.items()) or "none")
    return Verdict(
        comparison=comparison,
        lines=lines,
        events=dict(sorted(kinds.items())),
        learning=sum(len(each.findings.learning) for each in outcome.judged),
        thresholds=THRESHOLDS,
    )


def _nightly(sweep: SweepRecord) -> Asked:
    return Asked(
        first=sweep.night - timedelta(days=RECENT_NIGHTS - 1),
        last=sweep.night,
        model=sweep.spec.model.name,
        backend=sweep.spec.backend,
    )


def _news(engine: Engine, outcome: Outcome, sweep: SweepRecord) -> tuple[IncidentLine, ...]:
    configurations = tuple(each.configuration.configuration_id for each in outcome.judged)
    chosen = Chosen(statuses=TOLD, configuration_ids=configurations, limit=MOST_TOLD)
    found = list_incidents(engine, chosen)
    return tuple(each for each in found if each.annotated_at and each.annotated_at >= sweep.created_at)


def tell(sweep: SweepRecord, channels: Sequence[Channel], url: str = "") -> tuple[int, ...]:
    """Tell people of incidents of the sweep's model whose status is news to them; returns their numbers.

    News is what began, came back or, of what people were told before, is over. What was muted is told when
    the mute has ended. Nobody is told anything twice, and what no channel took is told the next night.

    Raises:
        DatabaseUnreachable: the database does not answer.
    """
    engine = engine_for(Settings.from_environment())
    try:
        chosen = Chosen(statuses=TOLD, model=sweep.spec.model.name, limit=MOST_TOLD)
        told = [each for each in list_incidents(engine, chosen) if _tell_one(engine, each, channels, url)]
    finally:
        engine.dispose()
    return tuple(each.incident_id for each in told)


def _tell_one(engine: Engine, line: IncidentLine, channels: Sequence[Channel], url: str) -> bool:
    if line.status == "recovered" and not _was_told(engine, line.incident_id):
        return False
    message = incident_message(line, explain_incident(engine, line), url)
    return bool(tell_once(engine, [_notice(line)], lambda _: notify(message, channels)))


def _notice(line: IncidentLine) -> str:
    """A new one with every change of the status."""
    return f"incident {line.incident_id} {line.status} {line.annotation_id}"


def _was_told(engine: Engine, incident_id: int) -> bool:
    with explained(engine), engine.connect() as connection:
        told = select(NoticeRow.subject).where(NoticeRow.subject.like(f"incident {incident_id} %")).limit(1)
        return connection.scalar(told) is not None


def mark_as_told(engine: Engine, moved: Sequence[Moved], to: str) -> None:
    """Somebody has just seen these: they are no news any more.

    Raises:
        DatabaseUnreachable: the database does not answer.
    """
    subjects = [f"incident {each.incident_id} {each.status} {each.annotation_id}" for each in moved]
    tell_once(engine, subjects, lambda _: [to])


def explain_incident(engine: Engine, line: IncidentLine) -> Explanation:
    """An incident in words, with all that is stored about it.

    Raises:
        DatabaseUnreachable: the database does not answer.
    """
    changes = list_incident_changes(engine, line.incident_id)
    return explain(line, changes, Program(is_same_program(engine, line)))


def batch_sizes_to_confirm(sweep: SweepRecord) -> list[int]:
    """The batch sizes of a sweep that should be measured again tonight, the most suspicious first.

    Raises:
        DatabaseUnreachable: the database does not answer.
    """
    with open_shelf(Settings.from_environment()) as shelf:
        shelf.comparison(sweep)  # brings in what the database had missed
        return _suspicious(shelf.repository.engine, sweep)


def _suspicious(engine: Engine, sweep: SweepRecord) -> list[int]:
    night = sweep.night
    with detection.judging(engine) as connection:
        left = MOST_CONFIRMED - detection.confirmations(connection, sweep.sweep_id, night)
        rules = rules_of(THRESHOLDS, detection.series_count(connection, night))
        chosen = detection.configurations(connection, sweep.spec.model.name, sweep.spec.backend)
        histories = [detection.read_history(connection, each, night) for each in chosen]
    sizes = [
        size
        for history in histories
        if history is not None and _is_of(history, sweep)
        for size in to_confirm(history, rules, MOST_CONFIRMED)
    ]
    return list(dict.fromkeys(sizes))[: max(0, left)]


def _is_of(history: History, sweep: SweepRecord) -> bool:
    """Whether the last night of a history is this sweep's."""
    return any(each.sweeps[-1] == sweep.sweep_id for each in history.series)


def confirm_batch_size(sweep: SweepRecord, batch_size: int, *, attempt: int) -> dict[str, Any]:
    """Measure a suspicious batch size again, in a process of its own; return its headline figures.

    The figures are stored as a sweep of their own that confirms the first one, so that neither takes the
    place of the other: the night's value stays what it was, and both are evidence.

    Raises:
        StepFailed: there is no second measurement; the reason is stored.
    """
    again = confirming(sweep, batch_size)
    program = compile_batch_size(again, batch_size, attempt=attempt)
    return measure_batch_size(again, batch_size, program, attempt=attempt)


def confirming(sweep: SweepRecord, batch_size: int) -> SweepRecord:
    """The sweep that measures one batch size of another again, in the same night."""
    run_id = f"{sweep.run_id}/again-{batch_size}"
    label = f"batch size {batch_size} again"
    return sweep.model_copy(
        update={
            "sweep_id": sweep_id_of(sweep.dag_id, run_id),
            "run_id": run_id,
            "spec": sweep.spec.model_copy(update={"batch_sizes": (batch_size,), "label": label}),
            "confirms_sweep_id": sweep.sweep_id,
        }
    )
