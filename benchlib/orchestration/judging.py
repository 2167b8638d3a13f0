"""Judging the stored history: what `detect` does every night, and `bench judge` over any range of nights.

Detection is a function of what is stored: it may run again at any time, over any nights, with any thresholds,
and a second run over the same results changes no row.
"""

from __future__ import annotations

import logging
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, select

from benchlib.analysis.comparison import Comparison
from benchlib.analysis.findings import MEASURED, Findings, History, Rules, find, rules_of, to_confirm
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
from benchlib.store.detection import DETECTOR, Configuration, Moved, Span, Stored
from benchlib.store.errors import RecordRejected
from benchlib.store.faults import explained
from benchlib.store.incidents import (
    Chosen,
    IncidentLine,
    is_same_program,
    judged_metrics,
    list_incident_changes,
    list_incidents,
    list_night_events,
)
from benchlib.store.judgements import IncidentStatus
from benchlib.store.notices import tell_once
from benchlib.store.tables import NoticeRow, SweepRow

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

RECOVERED_DAYS = 30
"""That something is over is no news when it was over so long ago."""


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
class Refused:
    """One configuration that could not be judged; nothing of it was written."""

    configuration: Configuration
    reason: str

    def __str__(self) -> str:
        return f"{self.configuration.model} ({str(self.configuration.configuration_id)[:8]}): {self.reason}"


@dataclass(frozen=True)
class Outcome:
    """All that was judged."""

    asked: Asked
    span: Span | None
    """``None``: there was nothing."""
    judged: tuple[Judged, ...]
    refused: tuple[Refused, ...] = ()

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

    One that cannot be judged, as the database refuses what was found or a stored figure is impossible, keeps
    no other from it.

    Raises:
        BadInput: there are no such thresholds, or the last night is before the first.
        DatabaseUnreachable: the database does not answer; what was judged before stays.
    """
    if not asked.dry_run:
        _begin_epochs(engine)
    with detection.judging(engine) as connection:
        newest = detection.last_night(connection)
        chosen = detection.configurations(connection, asked.model, asked.backend)
        last = min(asked.last or newest, newest) if newest else None
        rules = _rules(connection, asked.thresholds, last)
    if asked.first and asked.last and asked.last < asked.first:
        raise BadInput("last night", str(asked.last), f"a night that is not before the first, {asked.first}")
    if last is None or newest is None:
        return Outcome(asked, None, ())
    run = _Run(rules, Span(asked.first or date.min, last), newest, asked.dry_run)
    every = tuple(_judged(engine, chosen, run))
    return Outcome(
        asked,
        run.span,
        judged=tuple(each for each in every if isinstance(each, Judged)),
        refused=tuple(each for each in every if isinstance(each, Refused)),
    )


def _begin_epochs(engine: Engine) -> None:
    try:
        for epoch in write_due_epochs(engine):
            log.info("%d series begin anew with an accepted upgrade", len(epoch.series_ids))
    except (BadInput, RecordRejected) as error:
        log.warning("the series of an accepted upgrade cannot begin anew: %s", error)


def _rules(connection: Connection, version: str, last: date | None) -> Rules:
    count = detection.series_count(connection, last) if last else 0
    return rules_of(version, count * len(MEASURED))


@dataclass(frozen=True)
class _Run:
    """How every configuration is judged."""

    rules: Rules
    span: Span
    newest: date
    """The newest night that is stored, of anything."""
    dry_run: bool


def _judged(engine: Engine, chosen: Sequence[Configuration], run: _Run) -> Iterator[Judged | Refused]:
    for configuration in chosen:
        try:
            with detection.judging(engine, run.dry_run) as connection:
                judged = _judge_one(connection, configuration, run)
        except (BadInput, RecordRejected) as error:
            refused = Refused(configuration, str(error))
            log.warning("not judged: %s", refused)
            yield refused
        else:
            if judged is not None:
                yield judged


def _judge_one(connection: Connection, configuration: Configuration, run: _Run) -> Judged | None:
    key, last = configuration.configuration_id, run.span.last
    detection.lock(connection, key)
    history = detection.read_history(connection, configuration, last)
    if history is None:
        return None
    newest = detection.newest_judged(connection, key)
    is_old = last < run.newest and newest is not None and last < newest
    # What was far off and is still open is looked at however long ago it was.
    first = min(run.span.first, detection.pending_since(connection, key) or run.span.first)
    # Searched night by night, and of no use when it is years old.
    recent = Span(max(first, last - timedelta(days=EVENT_NIGHTS - 1)), last)
    findings = find(history, run.rules, first, recent.first)
    gaps = detection.read_gaps(connection, history, recent)
    stored = detection.store(connection, history, findings, gaps, recent, is_old=is_old)
    return Judged(configuration, findings, len(gaps), stored)


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
    configuration_ids: tuple[uuid.UUID, ...]
    """What was judged."""
    refused: tuple[Refused, ...] = ()

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
            "not_judged": [str(each) for each in self.refused],
        }


def judge_sweep(sweep: SweepRecord) -> Verdict:
    """Judge the model that a sweep is of, from a fortnight before the sweep on, and log what is new.

    It may be done again, at any time: what it returns does not depend on which try found it, and it judges
    until the newest night there is, so that an older night never undoes what a later one told.

    Raises:
        DatabaseUnreachable: the database does not answer.
    """
    settings = Settings.from_environment()
    with open_shelf(settings) as shelf:
        engine = shelf.repository.engine
        comparison = shelf.comparison(sweep)
        outcome = judge(engine, _nightly(sweep))
        configuration_ids = tuple(each.configuration.configuration_id for each in outcome.judged)
        lines = _news(engine, configuration_ids, sweep)
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
        configuration_ids=configuration_ids,
        refused=outcome.refused,
    )


def _nightly(sweep: SweepRecord) -> Asked:
    return Asked(
        first=sweep.night - timedelta(days=RECENT_NIGHTS - 1),
        model=sweep.spec.model.name,
        backend=sweep.spec.backend,
    )


def _news(
    engine: Engine, configuration_ids: tuple[uuid.UUID, ...], sweep: SweepRecord
) -> tuple[IncidentLine, ...]:
    """What the detector said between this sweep and the next one of its DAG, of nights until this one."""
    chosen = Chosen(
        statuses=TOLD, configuration_ids=configuration_ids, said_since=sweep.created_at, limit=None
    )
    until = _next_sweep_at(engine, sweep)
    return tuple(
        each
        for each in list_incidents(engine, chosen)
        if each.first_bad_night <= sweep.night
        and (each.author or "").startswith(DETECTOR)
        and each.annotated_at is not None
        and (until is None or each.annotated_at < until)
    )


def _next_sweep_at(engine: Engine, sweep: SweepRecord) -> datetime | None:
    row = SweepRow
    later = (row.dag_id == sweep.dag_id, row.created_at > sweep.created_at, row.confirms_sweep_id.is_(None))
    with explained(engine), engine.connect() as connection:
        return connection.scalar(select(row.created_at).where(*later).order_by(row.created_at).limit(1))


def tell(
    configuration_ids: Sequence[uuid.UUID], channels: Sequence[Channel], url: str = ""
) -> tuple[int, ...]:
    """Tell people of incidents of these configurations whose status is news; returns their numbers.

    News is what began, came back or, of what people were told before, is over. What was muted is told when
    the mute has ended. Nobody is told anything twice, and what no channel took is told the next night.

    Raises:
        DatabaseUnreachable: the database does not answer.
    """
    engine = engine_for(Settings.from_environment())
    try:
        news = _untold(engine, _worth_telling(engine, tuple(configuration_ids)))
        told = [each for each in news if _tell_one(engine, each, channels, url)]
    finally:
        engine.dispose()
    return tuple(each.incident_id for each in told)


def _worth_telling(engine: Engine, configuration_ids: tuple[uuid.UUID, ...]) -> list[IncidentLine]:
    lately = datetime.now(UTC) - timedelta(days=RECOVERED_DAYS)
    lasting = Chosen(("confirmed", "reopened"), configuration_ids=configuration_ids, limit=None)
    over = Chosen(("recovered",), configuration_ids=configuration_ids, said_since=lately, limit=None)
    return [*list_incidents(engine, lasting), *list_incidents(engine, over)]


def _untold(engine: Engine, lines: Sequence[IncidentLine]) -> list[IncidentLine]:
    notices = [_notice(each) for each in lines]
    with explained(engine), engine.connect() as connection:
        known = set(connection.scalars(select(NoticeRow.subject).where(NoticeRow.subject.in_(notices))))
    return [each for each, notice in zip(lines, notices, strict=True) if notice not in known]


def _tell_one(engine: Engine, line: IncidentLine, channels: Sequence[Channel], url: str) -> bool:
    if line.status == "recovered" and not _was_told(engine, line.incident_id):
        return False

    def send(_: Sequence[str]) -> Sequence[str]:
        return notify(incident_message(line, explain_incident(engine, line), url), channels)

    return bool(tell_once(engine, [_notice(line)], send))


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
    same = Program(is_same_program(engine, line))
    return explain(line, changes, same, judged_metrics(engine, line))


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
        rules = _rules(connection, THRESHOLDS, night)
        chosen = detection.configurations(connection, sweep.spec.model.name, sweep.spec.backend)
        found = [size for each in chosen for size in _far_off(connection, each, sweep, rules)]
        sizes = list(dict.fromkeys(found))[: max(0, left)]
        detection.plan_confirmations(connection, [confirming(sweep, size) for size in sizes])
    return sizes


def _far_off(
    connection: Connection, configuration: Configuration, sweep: SweepRecord, rules: Rules
) -> tuple[int, ...]:
    """Of what this very sweep was the first to measure tonight."""
    history = detection.read_history(connection, configuration, sweep.night)
    if history is None or history.night(history.nights - 1) != sweep.night:
        return ()
    try:
        return to_confirm(history, rules, _measured_by(history, sweep), MOST_CONFIRMED)
    except BadInput as error:
        log.warning("not judged: %s", Refused(configuration, str(error)))
        return ()


def _measured_by(history: History, sweep: SweepRecord) -> set[int]:
    first = {each.batch_size for each in history.series if each.sweeps[-1] == sweep.sweep_id}
    return first & set(sweep.spec.batch_sizes)


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
