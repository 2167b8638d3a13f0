"""The embedded server survives what happens to servers, and keeps to itself."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg2
import pytest

from benchlib.errors import BenchError
from benchlib.settings import PROJECT_ROOT
from benchlib.store.embedded_postgres import EmbeddedPostgres

START = (
    "import sys; from pathlib import Path; from benchlib.store.embedded_postgres import EmbeddedPostgres; "
)
START += "server = EmbeddedPostgres(Path(sys.argv[1])); server.start(); "

NewServer = Callable[..., EmbeddedPostgres]


@pytest.fixture
def new_server(tmp_path: Path) -> Iterator[NewServer]:
    """Makes servers that are stopped after the test."""
    made: list[EmbeddedPostgres] = []

    def make(path: Path = tmp_path / "data") -> EmbeddedPostgres:
        made.append(EmbeddedPostgres(path))
        return made[-1]

    yield make
    for server in made:
        server.stop()


@pytest.fixture(scope="module")
def shared_data_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One data directory for all tests that need no first start: making one takes most of the time."""
    path = tmp_path_factory.mktemp("shared") / "data"
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def server(new_server: NewServer, shared_data_dir: Path) -> EmbeddedPostgres:
    """A running server."""
    server = new_server(shared_data_dir)
    server.start()
    return server


def ask(server: EmbeddedPostgres, question: str, database: str = "bench") -> str:
    done = subprocess.run(
        server.psql(database, "-qtAX", "-c", question), check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def pid_of(server: EmbeddedPostgres) -> int:
    return int((server.data_dir / "postmaster.pid").read_text().splitlines()[0])


def kill(server: EmbeddedPostgres) -> None:
    """End the server and its children without any chance to clean up."""
    postmaster = psutil.Process(pid_of(server))
    family = [postmaster, *postmaster.children(recursive=True)]
    for process in family:
        process.kill()
    wait_until(lambda: not any(_lives(process.pid) for process in family))


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_until(holds: Callable[[], bool], limit_s: float = 20) -> None:
    deadline = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def test_a_first_start_makes_the_databases_and_listens_to_its_owner_only(server: EmbeddedPostgres) -> None:
    url = server.url("airflow", driver="postgresql")
    with psycopg2.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT current_database(), current_setting('listen_addresses')")
        assert cursor.fetchone() == ("airflow", "")
    assert ask(server, "SHOW max_connections") == "200"
    assert stat.S_IMODE(server.socket_dir.stat().st_mode) == 0o700
    assert stat.S_IMODE((server.socket_dir / ".s.PGSQL.5432").stat().st_mode) == 0o700
    listening = psutil.Process(pid_of(server)).net_connections("inet")
    assert listening == []


def test_a_second_start_keeps_the_server_and_adds_what_is_missing(server: EmbeddedPostgres) -> None:
    before = pid_of(server)
    again = EmbeddedPostgres(server.data_dir)
    again.start(databases=("bench", "third"))
    assert pid_of(server) == before
    assert ask(again, "SELECT 1", database="third") == "1"


def test_stop_is_final_and_may_be_repeated(server: EmbeddedPostgres) -> None:
    postmaster = pid_of(server)
    server.stop()
    assert not server.is_running()
    wait_until(lambda: not _lives(postmaster))
    server.stop()


def test_a_killed_server_starts_again_with_its_rows(server: EmbeddedPostgres) -> None:
    ask(server, "CREATE TABLE kept AS SELECT 7 AS n")
    kill(server)
    assert (server.data_dir / "postmaster.pid").exists()
    assert not server.is_running()
    server.start()
    assert ask(server, "SELECT n FROM kept") == "7"


def test_a_stale_pid_that_belongs_to_another_program_by_now_does_not_stop_a_start(
    server: EmbeddedPostgres,
) -> None:
    kill(server)
    for path in (server.data_dir / "postmaster.pid", server.socket_dir / ".s.PGSQL.5432.lock"):
        _, _, rest = path.read_text().partition("\n")
        path.write_text(f"{os.getpid()}\n{rest}")
    assert not server.is_running()
    server.start()
    assert ask(server, "SELECT 1") == "1"


def test_concurrent_first_starts_share_one_server(new_server: NewServer) -> None:
    server = new_server()
    starts = [
        subprocess.Popen(
            [sys.executable, "-c", START, server.data_dir],
            cwd=PROJECT_ROOT,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    complaints = [start.communicate()[1] for start in starts]
    assert [start.returncode for start in starts] == [0, 0, 0], complaints
    assert ask(server, "SELECT count(*) FROM pg_database WHERE datname IN ('airflow', 'bench')") == "2"


def test_what_an_interrupted_first_start_left_is_cleared_away(new_server: NewServer) -> None:
    server = new_server()
    left = server.data_dir.with_name(".data.unfinished")
    left.mkdir()
    (left / "PG_VERSION").write_text("18\n")
    server.start()
    assert ask(server, "SELECT 1") == "1"
    assert not left.exists()


def test_a_directory_with_other_things_in_it_is_left_alone(new_server: NewServer) -> None:
    server = new_server()
    server.data_dir.mkdir()
    (server.data_dir / "thesis.txt").write_text("mine")
    with pytest.raises(BenchError, match="is not empty and holds no database"):
        server.start()
    assert [path.name for path in server.data_dir.iterdir()] == ["thesis.txt"]


def test_ctrl_c_in_the_terminal_that_started_it_does_not_reach_the_server(server: EmbeddedPostgres) -> None:
    server.stop()
    # A shell starts its background jobs deaf to SIGINT; a terminal's are not.
    listen = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
    starter = subprocess.Popen(
        [sys.executable, "-c", listen + START + "print('up', flush=True); sys.stdin.read()", server.data_dir],
        cwd=PROJECT_ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    assert starter.stdout is not None
    assert starter.stdout.readline() == "up\n"
    os.killpg(starter.pid, signal.SIGINT)
    starter.communicate()
    assert starter.returncode != 0
    assert ask(server, "SELECT 1") == "1"


def test_a_path_too_long_for_a_socket_falls_back_to_a_short_private_one(
    new_server: NewServer, tmp_path: Path
) -> None:
    server = new_server(tmp_path / ("d" * 120) / "data")
    server.start()
    try:
        assert server.socket_dir != server.data_dir
        assert stat.S_IMODE(server.socket_dir.stat().st_mode) == 0o700
        with psycopg2.connect(server.url("bench", driver="postgresql")) as connection:
            assert connection.info.host == str(server.socket_dir)
    finally:
        server.stop()
        server.socket_dir.rmdir()


@pytest.mark.parametrize("name", ["a,b", "a b", "a?b", "a%20b", "a:b", 'a"b'])
def test_a_path_that_a_url_cannot_name_as_it_stands_is_avoided(name: str, tmp_path: Path) -> None:
    assert name not in EmbeddedPostgres(tmp_path / name / "data").url("bench")


@pytest.fixture
def short_tempdir(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A place for sockets: pytest's own directories may be too long for one."""
    with tempfile.TemporaryDirectory(prefix="b-") as path:
        monkeypatch.setattr(tempfile, "tempdir", path)
        yield Path(path)


def test_a_socket_directory_that_others_may_enter_is_refused(
    new_server: NewServer, tmp_path: Path, short_tempdir: Path
) -> None:
    server = new_server(tmp_path / ("d" * 120) / "data")
    server.socket_dir.mkdir(mode=0o700)
    server.socket_dir.chmod(0o777)
    with pytest.raises(BenchError, match="open to other accounts"):
        server.start()
    assert not server.data_dir.exists()


def test_a_link_in_place_of_the_socket_directory_is_refused(
    new_server: NewServer, tmp_path: Path, short_tempdir: Path
) -> None:
    server = new_server(tmp_path / ("d" * 120) / "data")
    (short_tempdir / "elsewhere").mkdir(mode=0o700)
    server.socket_dir.symlink_to(short_tempdir / "elsewhere")
    with pytest.raises(BenchError, match="belongs to someone else"):
        server.start()


def test_a_server_that_cannot_start_is_quoted(server: EmbeddedPostgres) -> None:
    server.stop()
    config = server.data_dir / "postgresql.auto.conf"
    before = config.read_text()
    config.write_text(f"{before}nonsense = 1\n")
    with pytest.raises(BenchError, match='unrecognized configuration parameter "nonsense"'):
        server.start()
    config.write_text(before)
    server.start()


def test_settings_meant_for_another_server_change_nothing(
    server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    server.stop()
    monkeypatch.setenv("PGPORT", "6543")
    monkeypatch.setenv("PGDATA", str(tmp_path / "another"))
    server.start()
    assert (server.socket_dir / ".s.PGSQL.5432").is_socket()
    with psycopg2.connect(server.url("bench", driver="postgresql")) as connection:
        assert connection.info.dbname == "bench"


def test_root_without_user_namespaces_is_told_what_to_do(
    new_server: NewServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    closed = tmp_path / "bin" / "unshare"
    closed.parent.mkdir()
    closed.write_text("#!/bin/sh\necho 'unshare failed: Operation not permitted' >&2\nexit 1\n")
    closed.chmod(0o755)
    monkeypatch.setenv("PATH", str(closed.parent), prepend=os.pathsep)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    server = new_server()
    with pytest.raises(BenchError, match="run as an ordinary user, or set BENCH_DATABASE_URL"):
        server.start()
    assert not server.data_dir.exists()


NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
"""Become an ordinary user."""

READER = [*NOBODY, "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
"""The same, allowed to read an interpreter that lies in root's home."""


def test_an_ordinary_user_can_run_it() -> None:
    home = Path(tempfile.mkdtemp(prefix="bench-nobody-"))
    script = (
        START
        + "import os; print(os.geteuid(), server.is_running()); server.stop(); print(server.is_running())"
    )
    command = [sys.executable, "-c", script, str(home / "data")]
    if os.geteuid() == 0:
        os.chown(home, 65534, 65534)
        probe = subprocess.run([*NOBODY, sys.executable, "-c", ""], capture_output=True)
        command = [*(NOBODY if probe.returncode == 0 else READER), *command]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, text=True, env=environment)
        owners = {path.stat().st_uid for path in home.iterdir()}
    finally:
        shutil.rmtree(home)
    assert done.stdout.split() == [str(65534 if os.geteuid() == 0 else os.geteuid()), "True", "False"], (
        done.stderr
    )
    assert owners == {65534 if os.geteuid() == 0 else os.geteuid()}
