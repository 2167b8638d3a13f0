"""No result depends on the database being there when it is finished."""

from __future__ import annotations

import hashlib
import json
import logging
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine

from benchlib.errors import BenchError
from benchlib.records import Record, sweep_of
from benchlib.settings import PROJECT_ROOT
from benchlib.store import DatabaseUnreachable, RecordRejected
from benchlib.store.embedded_postgres import EmbeddedPostgres
from benchlib.store.migrate import upgrade
from benchlib.store.older import UNASKED
from benchlib.store.repository import Repository
from benchlib.store.spool import HEADER, LOGGED, Spool, store_record
from tests.store import samples

AWAY = "postgresql+psycopg2://bench:open-sesame@127.0.0.1:1/results"
"""Nothing listens there."""


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool")


@pytest.fixture
def repository(engine: Engine) -> Repository:
    return Repository(engine)


@pytest.fixture
def away() -> Repository:
    return Repository(create_engine(AWAY))


RECORDS: list[Record] = [samples.sweep(), samples.compilation(), samples.measurement()]
BROKEN = samples.measurement(2, result=samples.measured(2, inferences=23999))
"""Its inferences are not batches x batch size."""


@pytest.mark.parametrize("record", RECORDS)
def test_what_is_read_is_what_was_written(spool: Spool, record: Record) -> None:
    assert spool.read(spool.write(record)) == record


def older(record: Record, spool: Spool) -> Path:
    """The record's file as a version left it that could not ask for these."""
    path = spool.write(record)
    told = json.loads(path.read_bytes().partition(b"\n")[2])
    for name in UNASKED:
        del told.get("sweep", told)["spec"]["load"][name]
    content = json.dumps(told).encode()
    path.write_bytes(HEADER + hashlib.sha256(content).hexdigest().encode() + b"\n" + content + b"\n")
    return path


@pytest.mark.parametrize("record", RECORDS)
def test_what_an_older_version_wrote_asked_for_what_everything_did_then(spool: Spool, record: Record) -> None:
    load = sweep_of(spool.read(older(record, spool))).spec.load
    assert (load.worker_mode, load.warmup, load.stop, load.interleave) == ("thread", "fixed", "rounds", False)
    assert load.duration_s == 60.0


def test_a_line_of_an_older_versions_log_is_read_alike(spool: Spool) -> None:
    content = older(samples.measurement(), spool).read_text().partition("\n")[2]
    spool.rescue(f"{LOGGED}{content}")
    for path in spool.pending():
        assert sweep_of(spool.read(path)).spec.load.warmup == "fixed"


@pytest.mark.parametrize("record", RECORDS)
def test_writing_the_same_record_again_leaves_one_file(spool: Spool, record: Record) -> None:
    assert spool.write(record) == spool.write(record)
    assert len(spool.pending()) == 1


def test_a_later_record_of_the_same_attempt_takes_the_place_of_the_earlier_one(spool: Spool) -> None:
    spool.write(samples.measurement())
    later = samples.measurement(failure=samples.failure(), recorded_at=samples.NOON + timedelta(hours=1))
    path = spool.write(later)
    assert spool.pending() == (path,)


def test_other_attempts_sizes_and_kinds_have_files_of_their_own(spool: Spool) -> None:
    others = [samples.measurement(attempt=2), samples.measurement(2), samples.measurement(scenario="server")]
    for record in [*RECORDS, *others]:
        spool.write(record)
    assert len(spool.pending()) == 6


def test_files_wait_in_the_order_of_what_they_record(spool: Spool) -> None:
    for batch_size in (10, 1, 2):
        spool.write(samples.measurement(batch_size))
    waiting = [spool.read(path) for path in spool.pending()]
    assert [record.batch_size for record in waiting if record.kind == "measurement"] == [1, 2, 10]


def test_a_record_half_written_when_the_process_died_is_never_seen(spool: Spool) -> None:
    """The process is killed when all bytes are written but not yet safe on disk."""
    script = (
        "import os, signal, sys; from pathlib import Path; from benchlib.store.spool import Spool; "
        "from tests.store import samples; "
        "os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL); "
        "Spool(Path(sys.argv[1])).write(samples.measurement())"
    )
    died = subprocess.run([sys.executable, "-c", script, spool.directory], cwd=PROJECT_ROOT)
    assert died.returncode == -9
    assert len(list(spool.directory.iterdir())) == 1, "the process died before it wrote anything"
    assert spool.pending() == ()


def test_a_disk_that_is_full_is_said_so_and_keeps_what_was_there(spool: Spool) -> None:
    """The process may write no file above 100 bytes: the system refuses as a full disk does."""
    kept = spool.write(samples.measurement())
    script = (
        "import resource, sys; from pathlib import Path; from benchlib.store.spool import Spool; "
        "from tests.store import samples; from benchlib.errors import BenchError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
        "try: Spool(Path(sys.argv[1])).write(samples.measurement())\n"
        "except BenchError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, spool.directory], cwd=PROJECT_ROOT, capture_output=True, text=True
    )
    assert f"could not be kept in {spool.directory}: File too large" in done.stdout, done.stderr
    assert list(spool.directory.iterdir()) == [kept]
    assert spool.read(kept) == samples.measurement()


def test_a_stored_record_leaves_the_spool(spool: Spool, repository: Repository) -> None:
    assert store_record(samples.measurement(), spool, repository) is True
    assert spool.pending() == ()
    assert repository.comparison(samples.sweep().sweep_id).rows[0].status == "ok"


def test_a_record_that_the_database_misses_waits_and_a_warning_says_where(
    spool: Spool, away: Repository, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert store_record(samples.measurement(), spool, away) is False
    (path,) = spool.pending()
    assert str(path) in caplog.text
    assert "open-sesame" not in caplog.text


def test_without_a_database_a_record_waits(spool: Spool) -> None:
    assert store_record(samples.measurement(), spool, None) is False
    assert len(spool.pending()) == 1


def test_a_record_that_the_database_refuses_is_set_aside_and_said(
    spool: Spool, repository: Repository
) -> None:
    with pytest.raises(RecordRejected, match="ck_measurement_inferences"):
        store_record(BROKEN, spool, repository)
    assert spool.pending() == ()
    (reason,) = spool.poisoned_directory.glob("*.reason")
    assert "ck_measurement_inferences" in reason.read_text()


def test_what_waited_is_brought_in_when_the_database_is_back(tmp_path: Path, spool: Spool) -> None:
    server = EmbeddedPostgres(tmp_path / "data")
    server.start()
    repository = Repository(create_engine(server.url("bench")))
    upgrade(repository.engine)
    server.stop()
    stored = [store_record(samples.measurement(size), spool, repository) for size in (1, 2)]
    assert stored == [False, False]
    assert spool.replay(repository).remaining == 2
    server.start()
    try:
        report = spool.replay(repository)
        rows = repository.comparison(samples.sweep().sweep_id).rows
    finally:
        server.stop()
    assert (report.replayed, report.poisoned, report.remaining) == (2, (), 0)
    assert [row.status for row in rows] == ["ok", "ok"]


def test_a_replay_stops_when_the_database_is_away_and_keeps_everything(
    spool: Spool, away: Repository
) -> None:
    for batch_size in (1, 2):
        spool.write(samples.measurement(batch_size))
    report = spool.replay(away)
    assert (report.replayed, report.poisoned, report.remaining) == (0, (), 2)
    assert isinstance(report.stopped_by, DatabaseUnreachable)


def test_a_replay_of_what_the_database_has_already_changes_nothing(
    spool: Spool, repository: Repository
) -> None:
    """So it is after a crash between the commit and the removal of the file."""
    repository.record(samples.measurement())
    before = repository.comparison(samples.sweep().sweep_id)
    spool.write(samples.measurement())
    assert spool.replay(repository).replayed == 1
    assert repository.comparison(samples.sweep().sweep_id) == before


def damage(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"bert", b"bart"))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:300])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def put_another_versions_record(path: Path) -> None:
    forge(path, samples.measurement().model_dump_json().replace('"attempt"', '"try"').encode())


def put_no_json(path: Path) -> None:
    forge(path, b"not json")


def forge(path: Path, content: bytes) -> None:
    """Any content, with a sound checksum."""
    path.write_bytes(HEADER + hashlib.sha256(content).hexdigest().encode() + b"\n" + content + b"\n")


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (damage, "checksum"),
        (cut, "checksum"),
        (empty, "checksum"),
        (put_another_versions_record, "no record of this version"),
        (put_no_json, "no record of this version"),
    ],
)
def test_a_poisoned_file_is_set_aside_with_its_reason_and_the_others_go_on(
    spool: Spool, repository: Repository, harm: Callable[[Path], None], reason: str
) -> None:
    harm(spool.write(samples.measurement(1)))
    spool.write(samples.measurement(2))
    report = spool.replay(repository)
    assert (report.replayed, report.remaining) == (1, 0)
    (poisoned,) = report.poisoned
    assert reason in poisoned.reason
    assert poisoned.path.parent == spool.poisoned_directory
    assert poisoned.path.with_suffix(".reason").read_text() == f"{poisoned.reason}\n"
    assert spool.replay(repository).poisoned == ()


def test_a_record_that_breaks_a_rule_does_not_stop_those_after_it(
    spool: Spool, repository: Repository
) -> None:
    spool.write(BROKEN)
    spool.write(samples.measurement(3))
    report = spool.replay(repository)
    assert report.replayed == 1
    assert "ck_measurement_inferences" in report.poisoned[0].reason


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("a file in the way")
    with pytest.raises(BenchError, match=f"could not be kept in {tmp_path / 'spool'}"):
        Spool(tmp_path / "spool").write(samples.measurement())


def test_an_empty_or_missing_spool_has_nothing_to_replay(spool: Spool, away: Repository) -> None:
    report = spool.replay(away)
    assert (report.replayed, report.poisoned, report.remaining, report.stopped_by) == (0, (), 0, None)
