"""`bench changes`: what got slower or faster, and waits for somebody."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Annotated, get_args

import typer
from sqlalchemy import Engine

from benchlib.cli.judging import (
    STAND_IN,
    AsJson,
    Column,
    Limit,
    ModelOption,
    SeriesOption,
    print_json,
    print_table,
    ran_on,
    reading,
    say,
    say_if_cut,
)
from benchlib.cli.outputs import DAY
from benchlib.errors import BadInput
from benchlib.report.incidents import NAMES
from benchlib.report.table import NOTHING
from benchlib.store.incidents import (
    WANT_ATTENTION,
    Chosen,
    IncidentLine,
    NightEventLine,
    count_muted,
    list_incidents,
    list_night_events,
    newest_night,
)
from benchlib.store.judgement_lists import find_series
from benchlib.store.judgements import IncidentStatus

COLUMNS = (
    Column("Change"),
    Column("Status"),
    Column("Model"),
    Column("Ran on", dispensable=5),
    Column("Metric"),
    Column("Shift"),
    Column("Batch sizes", dispensable=2),
    Column("Since"),
    Column("2nd method", dispensable=6),
    Column("Said by", dispensable=4),
    Column("Environment", wraps=True, dispensable=3),
)

STATUSES: tuple[IncidentStatus, ...] = get_args(IncidentStatus)
EVENT_KINDS = ("missing", "failed", "insufficient_data", "suspect", "outlier")
TREND_DAYS = 7


def changes(
    every: Annotated[bool, typer.Option("--all", help="Also those that are settled, over or muted.")] = False,
    status: Annotated[
        list[str] | None,
        typer.Option("--status", help=f"Only with this status, repeatable: {', '.join(STATUSES)}."),
    ] = None,
    model: ModelOption = None,
    series: SeriesOption = None,
    direction: Annotated[str | None, typer.Option("--direction", help="Only worse, or only better.")] = None,
    since: Annotated[
        datetime | None,
        typer.Option("--since", formats=[DAY], help="Only what began on this night or later."),
    ] = None,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """List what got slower or faster and is neither settled nor over, the most important losses first.

    A change is all that one configuration of a model did in one direction within three nights, at whatever
    batch sizes and in whatever metrics. `bench explain` says what is known of one; with `bench change` people
    say what became of it.
    """
    engine = reading()
    chosen = Chosen(
        statuses=_statuses(status, every),
        model=model,
        series_id=None if series is None else find_series(engine, series),
        direction=_direction(direction),
        first_night=since.date() if since else None,
        with_muted=every,
        limit=limit,
    )
    found = list_incidents(engine, chosen)
    if as_json:
        print_json(found)
        return
    _print(found, every)
    say_if_cut(len(found), limit)
    if not every:
        _say_muted(engine, chosen)
    for sentence in _night_sentences(engine, model):
        say(sentence)


def _statuses(asked: Sequence[str] | None, every: bool) -> tuple[IncidentStatus, ...] | None:
    named = {each.replace("-", "_"): each for each in asked or ()}
    if wrong := [each for name, each in named.items() if name not in STATUSES]:
        raise BadInput("status", wrong[0], f"one of {', '.join(STATUSES)}")
    if named:
        return tuple(each for each in STATUSES if each in named)
    return None if every else WANT_ATTENTION


def _direction(asked: str | None) -> str | None:
    if asked not in (None, "worse", "better"):
        raise BadInput("direction", asked, "worse or better")
    return asked


def _print(found: Sequence[IncidentLine], every: bool) -> None:
    if not found:
        say("No change." if every else "No change is open.")
        return
    print_table(COLUMNS, map(_cells, found))
    if not all(each.hardware for each in found):
        say(STAND_IN)


def _cells(line: IncidentLine) -> tuple[str, ...]:
    shift = NOTHING if line.relative_change is None else f"{line.relative_change:+.1%} {line.direction}"
    muted = "" if line.muted_until is None else f", muted until {line.muted_until:%Y-%m-%d}"
    return (
        str(line.incident_id),
        line.status.replace("_", " ") + muted,
        line.model,
        ran_on(line.instance_type, line.backend, line.hardware),
        NOTHING if line.metric is None else NAMES[line.metric],
        shift,
        sizes_of(line),
        str(line.first_bad_night),
        {True: "agrees", False: "differs", None: NOTHING}[line.agreed],
        line.author or "",
        line.environment_changes,
    )


def sizes_of(line: IncidentLine) -> str:
    """Such as ``all 10``, ``1, 4 of 10`` or ``mean of 10``."""
    known = line.batch_sizes_known
    if not line.batch_sizes:
        return f"mean of {known}"
    if len(line.batch_sizes) == known:
        return f"all {known}" if known > 1 else str(line.batch_sizes[0])
    return f"{', '.join(map(str, line.batch_sizes))} of {known}"


def _say_muted(engine: Engine, chosen: Chosen) -> None:
    if muted := count_muted(engine, chosen):
        word = "is" if muted == 1 else "are"
        say(f"{muted} more {word} muted: `bench mute list` says what and until when, --all shows them.")


@dataclass(frozen=True)
class _Kind:
    """How events of one kind are told in one line."""

    kind: str
    words: str


KINDS = (
    _Kind("failed", "without a result"),
    _Kind("missing", "missing, without a sweep"),
    _Kind("insufficient_data", "not to be believed"),
    _Kind("suspect", "far off, not yet known whether it lasts"),
    _Kind("outlier", "far off once, and not the second time"),
)


def _night_sentences(engine: Engine, model: str | None) -> list[str]:
    """What the newest night has besides, and the notes of the week."""
    newest = newest_night(engine)
    if newest is None:
        return []
    events = list_night_events(engine, newest, newest, EVENT_KINDS, model)
    notes = list_night_events(engine, newest - timedelta(days=TREND_DAYS - 1), newest, ("trend",), model)
    told = (
        _kind_sentence(newest, kind, [each for each in events if each.kind == kind.kind]) for kind in KINDS
    )
    return [*(each for each in told if each), *map(_trend_sentence, notes)]


def _kind_sentence(night: date, kind: _Kind, events: Sequence[NightEventLine]) -> str:
    if not events:
        return ""
    several = dict.fromkeys(
        f"{each.model} at batch size {each.batch_size}{'' if each.hardware else ' *'}" for each in events
    )
    shown = ", ".join(list(several)[:3]) + (f" and {len(several) - 3} more" if len(several) > 3 else "")
    return f"Night {night}, {kind.words}: {shown}."


def _trend_sentence(event: NightEventLine) -> str:
    assert event.metric is not None
    change, name = event.evidence["relative_change"], NAMES[event.metric]
    where = ran_on(event.instance_type, event.backend, event.hardware)
    return (
        f"Slow trend: {name} of {event.model} on {where} moved by {change:+.1%} within two to three months."
    )
