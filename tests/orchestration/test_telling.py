"""People are told of an incident when its status changes: once, and not while it is muted."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine, text

from benchlib.orchestration import judging
from benchlib.orchestration.judging import Asked, Judged, judge, tell
from benchlib.orchestration.notify import Channel
from benchlib.report.notifications import Message
from benchlib.store.judgements import Remark, judge_incidents
from benchlib.store.mutes import mute, unmute
from benchlib.store.repository import Repository
from tests.store import fleet, nights
from tests.store.nights import Nights, losing, night_of

ANA = Remark(author="Ana", reason="Known.")
MAIL = Channel("smtp", "mail", "perf@example.com")
BAD = 30


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, database_url: str) -> list[Message]:
    """What a channel took."""
    messages: list[Message] = []

    def take(message: Message, channels: tuple[Channel, ...]) -> tuple[str, ...]:
        messages.extend([message] if channels else [])
        return tuple(map(str, channels))

    monkeypatch.setenv("BENCH_DATABASE_URL", database_url)
    monkeypatch.setattr(judging, "notify", take)
    return messages


def night(engine: Engine, last: int) -> None:
    """A night as the task lives it."""
    judged = judge(engine, Asked(last=night_of(last))).judged
    tell(ids_of(judged), [MAIL], "https://airflow.example/run")


def ids_of(judged: Sequence[Judged]) -> list[uuid.UUID]:
    return [each.configuration.configuration_id for each in judged]


def test_each_change_of_the_status_is_told_once(engine: Engine, told: list[Message]) -> None:
    Nights(BAD + 26, losing(0.05, BAD, BAD + 15)).fill(engine)
    for last in (BAD, BAD + 5, BAD + 6):  # a suspect is not told
        night(engine, last)
    (slower,) = told
    assert slower.subject.startswith("Slower: change 1: bert-base-uncased on inf2.xlarge: throughput -")
    assert slower.kind == "warning"
    assert "https://airflow.example/run" in slower.text
    assert "Throughput and median latency moved together" in slower.text
    for last in (BAD + 24, BAD + 25):
        night(engine, last)
    assert [each.subject.partition(":")[0] for each in told] == ["Slower", "Recovered"]
    assert told[-1].kind == "success"


def test_what_no_channel_took_is_told_the_next_night(engine: Engine, told: list[Message]) -> None:
    Nights(BAD + 7, losing(0.05, BAD)).fill(engine)
    ids = ids_of(judge(engine, Asked()).judged)
    assert tell(ids, []) == ()
    assert tell(ids, [MAIL]) == (1,)
    assert tell(ids, [MAIL]) == ()


def test_a_mute_is_silent_and_what_it_hid_is_told_when_it_ends(engine: Engine, told: list[Message]) -> None:
    Nights(BAD + 8, losing(0.05, BAD)).fill(engine)
    number = mute(engine, "bert-*", datetime.now(UTC) + timedelta(days=7), ANA)
    night(engine, BAD + 6)
    assert told == []
    unmute(engine, number, ANA)
    night(engine, BAD + 7)
    assert len(told) == 1


def test_what_was_over_before_anybody_heard_of_it_is_not_told(engine: Engine, told: list[Message]) -> None:
    Nights(BAD + 26, losing(0.05, BAD, BAD + 15)).fill(engine)
    night(engine, BAD + 25)
    assert told == []


def test_what_a_person_settled_is_not_told(engine: Engine, told: list[Message]) -> None:
    Nights(BAD + 7, losing(0.05, BAD)).fill(engine)
    judge(engine, Asked())
    judge_incidents(engine, [1], "expected", ANA)
    night(engine, BAD + 6)
    assert told == []


def test_the_night_can_be_judged_again_after_the_first_try_was_lost(
    engine: Engine, told: list[Message]
) -> None:
    """What it says of the sweep does not depend on which try found it."""
    Nights(BAD + 7, losing(0.05, BAD)).fill(engine)
    sweep = nights.sweep(BAD + 6)
    first, second = (judging.judge_sweep(sweep).extra() for _ in range(2))
    assert first == second
    assert (first["verdict"], first["worse"], first["valid"]) == ("worse", [1], 3)
    with engine.connect() as connection:
        (annotations,) = connection.execute(text("SELECT count(*) FROM annotation")).one()
    assert annotations == 1


def test_a_second_measurement_is_a_sweep_of_its_own() -> None:
    sweep = nights.sweep(3)
    again = judging.confirming(sweep, 4)
    assert (again.confirms_sweep_id, again.run_id, again.night) == (
        sweep.sweep_id,
        "night-3/again-4",
        sweep.night,
    )
    assert (again.spec.batch_sizes, again.spec.model) == ((4,), sweep.spec.model)
    assert again.sweep_id not in (sweep.sweep_id, uuid.UUID(int=0))


def test_a_dag_tells_its_own_channels_of_what_it_judged_alone(
    engine: Engine, told: list[Message], monkeypatch: pytest.MonkeyPatch
) -> None:
    Nights(BAD + 7, losing(0.05, BAD)).fill(engine)
    other = nights.sweep(BAD + 6, run_id="another", backend="cpu")
    Repository(engine).record(fleet.attempt(other, 1, result=fleet.measured(other, 1, 9.0, 300.0)))
    mine = ids_of(judge(engine, Asked(backend="neuron")).judged)
    others = ids_of(judge(engine, Asked(backend="cpu")).judged)
    assert (tell(others, [MAIL]), told) == ((), [])
    assert tell(mine, [MAIL]) == (1,)
    # What was told is not even put into words again.
    monkeypatch.delattr(judging, "explain_incident")
    assert tell(mine, [MAIL]) == ()


def test_the_verdict_of_a_sweep_is_what_the_detector_said_before_the_next_one(
    engine: Engine, told: list[Message]
) -> None:
    Nights(BAD + 7, losing(0.05, BAD)).fill(engine)
    last, before = nights.sweep(BAD + 6), nights.sweep(BAD + 5)
    assert judging.judge_sweep(before).word == "no change"  # it was said only now, after the last one
    assert judging.judge_sweep(last).of("worse") == [1]
    judge_incidents(engine, [1], "fixed", ANA)
    judge_incidents(engine, [1], "reopened", ANA)
    assert judging.judge_sweep(last).word == "no change"
