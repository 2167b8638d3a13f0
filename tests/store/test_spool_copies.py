"""What waits for the database outlives its host, and no copy is ever worth a result."""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from s3fs import S3FileSystem
from sqlalchemy import create_engine, select
from typer.testing import CliRunner

from benchlib.cli import app
from benchlib.errors import BadInput, BenchError
from benchlib.orchestration import doctor
from benchlib.orchestration.doctor import examine
from benchlib.orchestration.shelf import Shelf, open_shelf
from benchlib.records import Record
from benchlib.settings import Settings
from benchlib.store import DatabaseUnreachable, RecordRejected, spool_copies
from benchlib.store.repository import Repository
from benchlib.store.spool import Spool
from benchlib.store.spool_copies import SpoolCopies, replay_all
from benchlib.store.tables import MeasurementRow
from tests.s3_server import SECRET, S3Server, s3_server
from tests.store import samples
from tests.store.test_spool import AWAY, BROKEN

RECORDS = (samples.sweep(), samples.compilation(), samples.measurement())


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with s3_server() as running:
        yield running


@pytest.fixture(params=["folder", "bucket"])
def url(
    request: pytest.FixtureRequest, server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> str:
    """A place for copies that holds nothing yet."""
    if request.param == "folder":
        return f"file://{tmp_path}/copies"
    for name, value in server.variables.items():
        monkeypatch.setenv(name, value)
    S3FileSystem.clear_instance_cache()
    S3FileSystem().mkdir("waiting", acl="private") if not S3FileSystem().exists("waiting") else None
    return f"s3://waiting/{tmp_path.name}"


@pytest.fixture
def settings(url: str, database_url: str, tmp_path: Path) -> Settings:
    """Of host A, in good days."""
    environment = {
        "BENCH_HOME": str(tmp_path / "host-a"),
        "BENCH_DATABASE_URL": database_url,
        "BENCH_SPOOL_URL": url,
    }
    return Settings.from_environment(environment)


def cut_off(settings: Settings) -> Settings:
    return replace(settings, database_url=AWAY)


def keep_all(settings: Settings) -> None:
    with open_shelf(settings) as shelf:
        for record in RECORDS:
            shelf.keep(record)


def measured(settings: Settings) -> list[int]:
    with open_shelf(settings) as shelf:
        rows = shelf.repository.comparison(samples.sweep().sweep_id).rows
    return [row.batch_size for row in rows if row.status == "ok"]


def test_what_waits_has_a_copy_until_the_database_has_it(settings: Settings, url: str) -> None:
    copies = SpoolCopies(url)
    keep_all(cut_off(settings))
    assert copies.names() == {path.name for path in Spool(settings.spool_dir).pending()}
    assert len(copies.names()) == len(RECORDS)
    keep_all(settings)
    assert Spool(settings.spool_dir).pending() == ()
    assert copies.names() == frozenset()
    assert measured(settings) == [1]


def test_nothing_is_copied_while_the_database_answers(settings: Settings, url: str, tmp_path: Path) -> None:
    keep_all(settings)
    assert SpoolCopies(url).names() == frozenset()
    assert not (tmp_path / "copies").exists()


def test_the_results_of_a_lost_host_are_in_the_next_report(
    settings: Settings, url: str, tmp_path: Path
) -> None:
    keep_all(cut_off(settings))
    shutil.rmtree(settings.home)
    other = replace(settings, home=tmp_path / "host-b")
    with open_shelf(other) as shelf:
        rows = shelf.comparison(samples.sweep()).rows
    assert [row.batch_size for row in rows if row.status == "ok"] == [1]
    assert (Spool(other.spool_dir).pending(), SpoolCopies(url).names()) == ((), frozenset())


def test_a_host_that_comes_back_changes_nothing(settings: Settings, tmp_path: Path) -> None:
    keep_all(cut_off(settings))
    other = replace(settings, home=tmp_path / "host-b")
    with open_shelf(other) as shelf:
        report = replay_all(Spool(other.spool_dir), shelf.repository, settings.spool_url)
        assert (report.replayed, report.remaining) == (len(RECORDS), 0)
        again = replay_all(Spool(settings.spool_dir), shelf.repository, settings.spool_url)
        assert (again.replayed, again.poisoned, again.remaining) == (len(RECORDS), (), 0)
    assert measured(settings) == [1]


def spool_of(settings: Settings) -> Spool:
    return Spool(settings.spool_dir)


def damage(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def test_a_whole_copy_makes_up_for_a_damaged_file(settings: Settings, url: str, tmp_path: Path) -> None:
    keep_all(cut_off(settings))
    (victim,) = settings.spool_dir.glob("*-measurement-*.json")
    damage(victim)
    with open_shelf(settings) as shelf:
        report = replay_all(shelf.spool, shelf.repository, url)
    (poisoned,) = report.poisoned
    assert (poisoned.path.name, report.replayed, report.remaining) == (victim.name, len(RECORDS), 0)
    assert (measured(settings), SpoolCopies(url).names()) == ([1], frozenset())


def test_a_damaged_copy_stays_and_keeps_no_other_from_being_brought_in(
    settings: Settings, url: str, tmp_path: Path
) -> None:
    keep_all(cut_off(settings))
    (victim,) = settings.spool_dir.glob("*-compilation-*.json")
    SpoolCopies(url).remove([victim.name])
    damage(victim)
    SpoolCopies(url).put([victim])
    other = replace(settings, home=tmp_path / "host-b")
    with open_shelf(other) as shelf:
        report = replay_all(shelf.spool, shelf.repository, url)
    assert (report.replayed, report.poisoned) == (len(RECORDS) - 1, ())
    assert f"{victim.name} stays where it is" in str(report.copies_refused)
    assert SpoolCopies(url).names() == {victim.name}
    assert measured(settings) == [1]


def test_what_no_database_takes_keeps_its_copy_and_is_set_aside_once(
    settings: Settings, url: str, tmp_path: Path
) -> None:
    with open_shelf(cut_off(settings)) as shelf:
        shelf.keep(BROKEN)
    other = replace(settings, home=tmp_path / "host-b")
    for poisoned in (1, 0):
        with open_shelf(other) as shelf:
            report = replay_all(shelf.spool, shelf.repository, url)
        assert (report.replayed, len(report.poisoned), len(SpoolCopies(url).names())) == (0, poisoned, 1)


def test_files_of_others_are_left_alone(settings: Settings, tmp_path: Path) -> None:
    foreign = tmp_path / "copies" / "package.json"
    foreign.parent.mkdir()
    foreign.write_text("{}")
    url = f"file://{foreign.parent}"
    assert SpoolCopies(url).names() == frozenset()
    with open_shelf(settings) as shelf:
        assert replay_all(shelf.spool, shelf.repository, url).poisoned == ()
    assert foreign.read_text() == "{}"


def test_a_host_without_the_shared_database_takes_nothing(settings: Settings) -> None:
    environment = {"BENCH_HOME": str(settings.home), "BENCH_SPOOL_URL": str(settings.spool_url)}
    assert Settings.from_environment(environment).spool_url is None


def test_while_the_database_is_away_nobody_takes_copies_of_others(settings: Settings, tmp_path: Path) -> None:
    keep_all(cut_off(settings))
    other = replace(cut_off(settings), home=tmp_path / "host-b")
    with open_shelf(other) as shelf, pytest.raises(DatabaseUnreachable):
        shelf.comparison(samples.sweep())
    assert {path.name.split("-")[1] for path in spool_of(other).pending()} == {"sweep"}


@pytest.mark.parametrize("where", ["_names", "Place"])
def test_a_place_that_hangs_is_not_asked_again(
    settings: Settings, where: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ever, asked = threading.Event(), []

    def hang(*_: object, **__: object) -> None:
        asked.append(where)
        ever.wait()

    monkeypatch.setattr(spool_copies, "ANSWER_TIMEOUT_S", 0.05)
    monkeypatch.setattr(spool_copies if where == "Place" else SpoolCopies, where, hang)
    try:
        keep_all(cut_off(settings))
        assert len(spool_of(settings).pending()) == len(RECORDS)
        assert "did not answer within 0.05 s" in caplog.text
        assert asked == [where]
    finally:
        ever.set()


def test_an_earlier_record_keeps_its_copy_until_the_later_one_has_one(
    settings: Settings, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> bool:
        raise BenchError("no room")

    with open_shelf(cut_off(settings)) as shelf:
        shelf.keep(samples.measurement())
        first = SpoolCopies(url).names()
        later = samples.measurement(recorded_at=samples.NOON + timedelta(hours=1))
        with monkeypatch.context() as refusing:
            refusing.setattr(SpoolCopies, "_put", refuse)
            shelf.keep(later)
        assert SpoolCopies(url).names() == first
        shelf.keep(later)
        assert SpoolCopies(url).names() > first
    with open_shelf(settings) as shelf:
        shelf.comparison(samples.sweep())
        with shelf.repository.engine.connect() as connection:
            recorded_at = connection.execute(select(MeasurementRow.recorded_at)).scalar_one()
    assert (recorded_at, SpoolCopies(url).names()) == (later.recorded_at, frozenset())


def test_all_results_of_a_step_are_on_disk_before_the_database_is_asked(settings: Settings) -> None:
    spool, seen = spool_of(settings), []

    class Slow(Repository):
        def record(self, record: Record) -> None:
            seen.append(len(spool.pending()))
            super().record(record)

    sizes = [samples.measurement(size) for size in (1, 2, 4)]
    assert Shelf(spool, Slow(create_engine(AWAY))).keep_all(sizes) is False
    assert seen[0] == 3


def test_one_result_that_no_database_takes_keeps_no_other_from_being_stored(settings: Settings) -> None:
    with open_shelf(settings) as shelf:
        with pytest.raises(RecordRejected):
            shelf.keep_all([BROKEN, samples.measurement()])
        assert shelf.spool.pending() == ()
    assert measured(settings) == [1]


@pytest.mark.parametrize("wrong", ["s3x://nowhere", "s3://nobody-made-this/x", "file:///proc/none/x"])
def test_replay_ends_with_what_the_place_refused(
    settings: Settings, wrong: str, server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    S3FileSystem.clear_instance_cache()
    keep_all(cut_off(settings))
    told = {
        "BENCH_HOME": str(settings.home),
        "BENCH_DATABASE_URL": str(settings.database_url),
        "BENCH_SPOOL_URL": wrong,
        **server.variables,
    }
    answer = CliRunner().invoke(app, ["db", "replay"], env=told)
    assert f"{len(RECORDS)} brought in, 0 set aside, 0 remaining" in answer.output
    assert (answer.exit_code, measured(settings)) == (1, [1])
    assert wrong in f"{answer.output}{answer.exception}"


@pytest.mark.parametrize("url", ["s3://nobody-made-this/x", "gopher://hole/x", "file:///proc/x"])
def test_a_place_that_refuses_costs_no_result(
    url: str,
    server: S3Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for name, value in server.variables.items():
        monkeypatch.setenv(name, value)
    S3FileSystem.clear_instance_cache()
    shelf = Shelf(Spool(tmp_path / "spool"), Repository(create_engine(AWAY)), url)
    with caplog.at_level(logging.WARNING):
        shelf.keep(samples.measurement())
    assert len(shelf.spool.pending()) == 1
    assert url in caplog.text
    assert SECRET not in caplog.text
    home = tmp_path / "home"
    environment = {"BENCH_HOME": str(home), "BENCH_DATABASE_URL": AWAY, "BENCH_SPOOL_URL": url}
    (found,) = examine(Settings.from_environment(environment), environment, [doctor._spool_copies])
    assert found.status == "error"


def test_a_url_that_no_file_system_knows_is_named() -> None:
    with pytest.raises(BadInput, match="spool_url: 'gopher://hole' is not allowed"):
        SpoolCopies("gopher://hole")


def test_the_doctor_tells_how_many_copies_wait(settings: Settings) -> None:
    def found() -> tuple[str, str]:
        (each,) = examine(settings, {}, [doctor._spool_copies])
        return each.status, each.found

    assert found()[0] == "ok"
    keep_all(cut_off(settings))
    assert found() == ("warning", f"{len(RECORDS)} results wait")
