"""The primary dies while results are being stored; its standby takes over, and nothing is lost or doubled.

Two real servers with synchronous streaming replication: a commit that the client saw is on both. The client
knows both by one URL and takes whichever lets it write.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from benchlib.settings import PROJECT_ROOT, Settings
from benchlib.store.database import engine_for, open_repository
from benchlib.store.embedded_postgres import PORT, SUPERUSER, EmbeddedPostgres, binary
from benchlib.store.migrate import upgrade
from benchlib.store.repository import Repository
from benchlib.store.spool import Spool, store_record
from tests.store import samples

DEADLINE_S = 40

WRITER = """
import sys
from itertools import count
from pathlib import Path
from benchlib.settings import Settings
from benchlib.store.database import open_repository
from benchlib.store.spool import Spool, store_record
from tests.store import samples

settings = Settings.from_environment()
repository, spool = open_repository(settings, start_embedded=False), Spool(settings.spool_dir)
for number in count():
    if Path(sys.argv[1]).exists():
        break
    record = samples.measurement(sweep=samples.sweep(f"run-{number}"))
    print("stored" if store_record(record, spool, repository) else "spooled", flush=True)
"""
"""Stores one measurement after the other until a file appears, and prints where each went."""


@dataclass(frozen=True)
class Pair:
    """A primary, its standby, and the address of both."""

    primary: EmbeddedPostgres
    standby: EmbeddedPostgres

    def url(self, *servers: EmbeddedPostgres) -> str:
        """Whichever of the servers lets one write; they are tried in this order."""
        hosts = ",".join(str(each.socket_dir) for each in servers or (self.primary, self.standby))
        ports = ",".join([str(PORT)] * len(servers or (self.primary, self.standby)))
        where = f"host={hosts}&port={ports}&target_session_attrs=read-write"
        return f"postgresql://{SUPERUSER}@/bench?{where}"


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def settings_of(url: str, home: Path) -> Settings:
    return Settings.from_environment({"BENCH_DATABASE_URL": url, "BENCH_HOME": str(home)})


def ask(server: EmbeddedPostgres, question: str) -> list[tuple[object, ...]]:
    engine = create_engine(server.url("bench"), isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(question))]
    finally:
        engine.dispose()


def command(server: EmbeddedPostgres, statement: str) -> None:
    engine = create_engine(server.url("bench"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()


def standby_of(primary: EmbeddedPostgres, directory: Path) -> EmbeddedPostgres:
    """A copy that follows the primary; what the primary commits waits for it."""
    source = ["-h", str(primary.socket_dir), "-p", str(PORT), "-U", SUPERUSER]
    copy = [str(binary("pg_basebackup")), *source, "-D", str(directory), "-R", "-X", "stream", "-c", "fast"]
    subprocess.run(copy, check=True, capture_output=True)
    # The primary's socket lies in its data directory, and its lock is copied with all else.
    (directory / f".s.PGSQL.{PORT}.lock").unlink(missing_ok=True)
    standby = EmbeddedPostgres(directory)
    standby.start()
    command(primary, "ALTER SYSTEM SET synchronous_standby_names = '*'")
    command(primary, "SELECT pg_reload_conf()")
    wait_until(lambda: ("sync",) in ask(primary, "SELECT sync_state FROM pg_stat_replication"))
    return standby


def kill(server: EmbeddedPostgres) -> None:
    """As a power cut would: no process of the server says goodbye."""
    os.kill(int((server.data_dir / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)
    wait_until(lambda: not server.is_running())


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    primary = EmbeddedPostgres(tmp_path / "a")
    primary.start()
    engine = create_engine(primary.url("bench"))
    upgrade(engine)
    engine.dispose()
    standby = standby_of(primary, tmp_path / "b")
    yield Pair(primary, standby)
    for server in (primary, standby):
        server.stop()
        shutil.rmtree(server.data_dir)


def lines(output: Path) -> list[str]:
    return output.read_text().splitlines()


def test_no_finished_measurement_is_lost_or_doubled_when_the_standby_takes_over(
    pair: Pair, tmp_path: Path
) -> None:
    home, stop, output = tmp_path / "home", tmp_path / "stop", tmp_path / "output"
    environment = {**os.environ, "BENCH_DATABASE_URL": pair.url(), "BENCH_HOME": str(home)}
    with output.open("w") as sink:
        script = [sys.executable, "-c", WRITER, str(stop)]
        writer = subprocess.Popen(script, cwd=PROJECT_ROOT, env=environment, stdout=sink)
    try:
        wait_until(lambda: lines(output).count("stored") >= 20)
        kill(pair.primary)
        wait_until(lambda: lines(output).count("spooled") >= 2)
        assert_only_read(pair, tmp_path)
        command(pair.standby, "SELECT pg_promote()")
        before = lines(output).count("stored")
        wait_until(lambda: lines(output).count("stored") >= before + 20)
        stop.touch()
        assert writer.wait(DEADLINE_S) == 0
    finally:
        writer.kill()
        writer.wait()
    went = Counter(lines(output))
    settings = settings_of(pair.url(), home)
    spool = Spool(settings.spool_dir)
    assert len(spool.pending()) == went["spooled"]
    report = spool.replay(open_repository(settings, start_embedded=False))
    assert (report.replayed, report.poisoned, report.remaining) == (went["spooled"], (), 0)
    stored = ask(pair.standby, "SELECT run_id FROM sweep JOIN measurement USING (sweep_id)")
    assert Counter(run for (run,) in stored) == Counter(f"run-{each}" for each in range(went.total()))
    assert ask(pair.standby, "SELECT count(*) FROM round") == [(2 * went.total(),)]


def test_the_server_that_can_be_written_to_is_found_wherever_it_stands_in_the_url(
    pair: Pair, tmp_path: Path
) -> None:
    for number, url in enumerate((pair.url(), pair.url(pair.standby, pair.primary))):
        repository = open_repository(settings_of(url, tmp_path), start_embedded=False)
        repository.record(samples.measurement(sweep=samples.sweep(f"run-{number}")))
        repository.engine.dispose()
    assert ask(pair.primary, "SELECT count(*) FROM measurement") == [(2,)]


def assert_only_read(pair: Pair, tmp_path: Path) -> None:
    """Results wait, and the reason names both servers."""
    engine, spool = engine_for(settings_of(pair.url(), tmp_path)), Spool(tmp_path / "waiting")
    assert store_record(samples.measurement(), spool, Repository(engine)) is False
    report = spool.replay(Repository(engine))
    assert (report.replayed, report.remaining) == (0, 1)
    both = ",".join(str(server.socket_dir) for server in (pair.primary, pair.standby))
    assert str(report.stopped_by).startswith(f"the database bench at {both} cannot be used: ")
    engine.dispose()
