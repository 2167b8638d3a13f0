"""Night after night through the DAG: what is told of noise, of a loss, and of what people said about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Engine, create_engine, text

from benchlib.orchestration.judging import Asked, explain_incident, judge
from benchlib.records import CompilationRecord, MeasurementRecord, SweepRecord
from benchlib.store.embedded_postgres import EmbeddedPostgres
from benchlib.store.incidents import Chosen, IncidentLine, list_incidents, list_night_events
from benchlib.store.judgements import Remark, SweepRange, pin
from benchlib.store.mutes import mute
from benchlib.store.repository import Repository
from tests.conftest import new_database
from tests.orchestration.channel_servers import Arrived, channel_servers
from tests.orchestration.fake_python import COMPILED, ENVIRONMENT, write_fake_python

from .airflow_process import facts_of
from .deployment import past_measurement, past_sweep, telling_deployment

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

YESTERDAY = datetime.now(UTC).replace(hour=2, minute=0, second=0, microsecond=0) - timedelta(days=1)
LAST = YESTERDAY.date()
SIZES = (1, 2)
NOISE = 0.004
ANA = Remark(author="Ana", reason="The new driver is worth it.")
ALL = Chosen(statuses=None, with_muted=True)
NEW = {"neuron_driver": "2.24.7"}
OLD = {"neuron_driver": "2.23.9"}

BODY = """
if stage == "measure":
    rate = {rates}[size]
    RESULT.update(throughput_inf_per_s=rate, duration_s=100 * size / rate)
    RESULT["latency"].update(mean_ms=1000 * size / rate, p50_ms=1000 * size / rate)
RESULT["environment"].update({environment})
leave(RESULT)
"""


@dataclass(frozen=True)
class Story:
    """One model's nights until yesterday: the first are stored already, the DAG makes the rest."""

    model: str
    stored: int
    made: int
    factor: Callable[[int], float] = lambda night: 1.0
    """Of the usual throughput, by the number of the night."""
    changed: Callable[[int], bool] = lambda night: False
    """Whether the environment is the new one."""
    missing: int | None = None
    """The night on which nothing runs."""

    def at(self, night: int) -> datetime:
        return YESTERDAY - timedelta(days=self.stored + self.made - 1 - night)

    def night_of(self, night: int) -> date:
        return self.at(night).date()

    @cached_property
    def _noise(self) -> Any:
        seed = int.from_bytes(self.model.encode()[-4:], "big")
        return np.random.default_rng(seed).normal(1.0, NOISE, (self.stored + self.made, 1 + max(SIZES)))

    def rates(self, night: int) -> dict[int, float]:
        """Inferences per second by batch size."""
        return {size: 1000.0 * size * float(self._noise[night, size]) * self.factor(night) for size in SIZES}

    def environment(self, night: int) -> dict[str, str]:
        return NEW if self.changed(night) else OLD

    @property
    def params(self) -> dict[str, Any]:
        return {"model": self.model, "batch_sizes": list(SIZES), "sequence_length": 128}

    def sweep(self, night: int) -> SweepRecord:
        """Of a night that is stored beforehand."""
        return past_sweep(self.params, f"{self.model} {night}", self.at(night))

    def history(self) -> Iterator[MeasurementRecord]:
        for night in range(self.stored):
            environment = ENVIRONMENT.model_copy(update=self.environment(night))
            for size, rate in self.rates(night).items():
                yield past_measurement(self.sweep(night), size, rate, environment)

    def programs(self) -> Iterator[CompilationRecord]:
        """What ran on the last night that is stored beforehand."""
        for size in SIZES:
            result = COMPILED.model_copy(update={"batch_size": size})
            at = self.at(self.stored - 1)
            yield CompilationRecord(
                sweep=self.sweep(self.stored - 1), batch_size=size, result=result, recorded_at=at
            )

    def wishes(self, folder: Path) -> Iterator[tuple[datetime, dict[str, Any]]]:
        for night in sorted({*range(self.stored, self.stored + self.made)} - {self.missing}):
            body = BODY.format(rates=self.rates(night), environment=self.environment(night))
            python = write_fake_python(folder / f"{self.model.partition(':')[2]}-{night}", body)
            # A run is named by its minute.
            at = self.at(night) + timedelta(minutes=STORIES.index(self))
            yield at, {"python": str(python), "params": self.params, "run_after": at.isoformat()}


def lower(share: float, since: int, until: int = 1000) -> Callable[[int], float]:
    return lambda night: 1 - share if since <= night < until else 1.0


def since(first: int) -> Callable[[int], bool]:
    return lambda night: night >= first


QUIET = Story("config:quiet", 0, 60)
LOSS = Story("config:loss", 30, 3, lower(0.03, 30), since(30))
GAIN = Story("config:gain", 30, 3, lower(-0.03, 30))
TWICE = Story("config:twice", 45, 3, lambda night: lower(0.03, 30)(night) * lower(0.04, 45)(night))
BACK = Story("config:back", 38, 5, lower(0.05, 30, 38))
ACCEPTED = Story("config:accepted", 31, 3, lower(0.03, 30), since(30))
MUTED = Story("config:muted", 30, 4, lower(0.03, 30))
GAP = Story("config:gap", 20, 3, missing=21)
STORIES = (QUIET, LOSS, GAIN, TWICE, BACK, ACCEPTED, MUTED, GAP)


@pytest.fixture(scope="module")
def engine(postgres: EmbeddedPostgres) -> Iterator[Engine]:
    """The nights before, judged as they were then."""
    with new_database(postgres) as url:
        engine = create_engine(url)
        for story in STORIES:
            if story.stored:
                repository = Repository(engine)
                repository.record_all(list(story.history()))
                for program in story.programs():
                    repository.record(program)
                judge(engine, Asked(model=story.model, last=story.night_of(story.stored - 1)))
        accepted = ACCEPTED.sweep(30).sweep_id
        pin(engine, SweepRange(accepted, accepted), (), ANA)
        mute(engine, MUTED.model, datetime.now(UTC) + timedelta(days=1), ANA)
        yield engine
        engine.dispose()


@pytest.fixture(scope="module")
def arrived() -> Iterator[Arrived]:
    with channel_servers() as servers:
        yield servers


@dataclass(frozen=True)
class Nightly:
    """The deployment that makes the nights."""

    folder: Path
    environment: Mapping[str, str]

    def run(self, stories: Sequence[Story], first: date, last: date) -> set[str]:
        """Make the nights of this span, the oldest first; the states in which the runs end."""
        wishes = [each for story in stories for each in story.wishes(self.folder)]
        chosen = sorted((each for each in wishes if first <= each[0].date() <= last), key=when)
        runs = {str(number): wish for number, (_, wish) in enumerate(chosen)}
        facts = facts_of({"params": [], "runs": runs}, self.environment, self.folder)
        return {run["state"] for run in facts["runs"].values()}


def when(dated: tuple[datetime, Any]) -> datetime:
    return dated[0]


@pytest.fixture(scope="module")
def nightly(engine: Engine, arrived: Arrived, tmp_path_factory: pytest.TempPathFactory) -> Nightly:
    """All nights are made but the last one of the model that is muted."""
    folder = tmp_path_factory.mktemp("nights")
    made = Nightly(folder, telling_deployment(folder, engine, arrived.variables))
    others = [story for story in STORIES if story is not MUTED]
    assert made.run(STORIES, QUIET.night_of(0), LAST - timedelta(days=1)) == {"success"}
    assert made.run(others, LAST, LAST) == {"success"}
    return made


def incidents(engine: Engine, story: Story) -> tuple[IncidentLine, ...]:
    return tuple(each for each in list_incidents(engine, ALL) if each.model == story.model)


def mails(arrived: Arrived, story: Story) -> list[str]:
    return [str(mail["Subject"]) for mail in arrived.mails if story.model in str(mail["Subject"])]


@pytest.mark.usefixtures("nightly")
def test_sixty_nights_without_a_change_raise_nothing(engine: Engine, arrived: Arrived) -> None:
    counted = (
        "SELECT count(DISTINCT night), count(*) FROM night_value "
        "JOIN series USING (series_id) WHERE model = :model"
    )
    with engine.connect() as connection:
        nights, values = connection.execute(text(counted), {"model": QUIET.model}).one()
    assert (nights, values) == (60, 60 * len(SIZES))
    assert incidents(engine, QUIET) == ()
    assert mails(arrived, QUIET) == []


@pytest.mark.usefixtures("nightly")
def test_a_loss_of_3_percent_is_one_confirmed_incident_by_the_third_night(
    engine: Engine, arrived: Arrived
) -> None:
    (incident,) = incidents(engine, LOSS)
    assert (incident.status, incident.direction) == ("confirmed", "worse")
    assert incident.relative_change == pytest.approx(-0.03, abs=0.006)
    assert (incident.last_good_night, incident.first_bad_night) == (LOSS.night_of(29), LOSS.night_of(30))
    assert incident.environment_changes == "neuron_driver 2.23.9 -> 2.24.7"
    words = " ".join(explain_incident(engine, incident).sentences)
    assert "Throughput and median latency moved together" in words
    assert "It is the same program, bit by bit: look at the host, the driver or the runtime." in words
    assert len(mails(arrived, LOSS)) == 1


@pytest.mark.usefixtures("nightly")
def test_a_gain_is_told_as_one(engine: Engine) -> None:
    (incident,) = incidents(engine, GAIN)
    assert (incident.status, incident.direction) == ("confirmed", "better")


@pytest.mark.usefixtures("nightly")
def test_a_second_step_is_a_second_incident(engine: Engine, arrived: Arrived) -> None:
    found = incidents(engine, TWICE)
    assert {each.first_bad_night for each in found} == {TWICE.night_of(30), TWICE.night_of(45)}
    assert {each.status for each in found} == {"confirmed"}


@pytest.mark.usefixtures("nightly")
def test_a_level_that_comes_back_ends_the_incident(engine: Engine) -> None:
    (incident,) = incidents(engine, BACK)
    assert (incident.status, incident.first_bad_night) == ("recovered", BACK.night_of(30))


@pytest.mark.usefixtures("nightly")
def test_an_accepted_level_is_no_news(engine: Engine, arrived: Arrived) -> None:
    (suspect,) = incidents(engine, ACCEPTED)  # of the night before anybody accepted it
    assert suspect.status == "recovered"
    assert f"the level since {ACCEPTED.night_of(30)} was accepted" in (suspect.reason or "")
    assert mails(arrived, ACCEPTED) == []


@pytest.mark.usefixtures("nightly")
def test_a_night_without_a_sweep_is_missing(engine: Engine) -> None:
    events = list_night_events(engine, GAP.night_of(0), GAP.night_of(22), model=GAP.model)
    assert {(each.night, each.kind) for each in events} == {(GAP.night_of(21), "missing")}


def test_a_muted_loss_is_silent_and_is_told_the_night_after_the_mute_expires(
    engine: Engine, arrived: Arrived, nightly: Nightly
) -> None:
    (silent,) = incidents(engine, MUTED)
    assert (silent.status, mails(arrived, MUTED)) == ("confirmed", [])
    expire = "UPDATE mute SET set_at = now() - interval '2 days', expires_at = now() - interval '1 s'"
    with engine.begin() as connection:
        connection.execute(text(expire))
    assert nightly.run([MUTED], LAST, LAST) == {"success"}
    assert len(mails(arrived, MUTED)) == 1


@pytest.mark.usefixtures("nightly")
def test_judging_these_nights_again_changes_no_row(engine: Engine) -> None:
    before = LAST - timedelta(days=1)  # the last night of the muted model comes in a test of its own
    assert judge(engine, Asked(first=QUIET.night_of(0), last=before)).rows == 0
