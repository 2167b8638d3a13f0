"""A whole Airflow on this machine: its four components as children of one process."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

from sqlalchemy import create_engine, text
from sqlalchemy.exc import SQLAlchemyError

from benchlib.errors import BadInput, BenchError
from benchlib.orchestration.airflow_client import AirflowClient, AirflowUnreachable
from benchlib.orchestration.airflow_environment import (
    ADMIN,
    METADATA_DATABASE,
    METADATA_URL,
    Ports,
    Secrets,
    server_environment,
)
from benchlib.orchestration.names import DEVICE_POOL, DEVICE_POOL_SLOTS
from benchlib.orchestration.postgres import embedded_postgres, upgrade_results
from benchlib.orchestration.process_tree import MARK_VARIABLE, ProcessTree, dies_with_this_process
from benchlib.settings import Settings

COMPONENTS = ("api-server", "scheduler", "dag-processor", "triggerer")

_READY_TIMEOUT_S = 120.0
_LOOK_S = 0.5
_STOP_GRACE_S = 10.0


def check_ports(ports: Ports) -> None:
    """Make sure that nobody listens where Airflow is to listen.

    A port that is taken kills one component and leaves the others running.

    Raises:
        BadInput: names the port and the option that changes it.
    """
    wanted = (
        ("--port", "127.0.0.1", ports.api),
        ("--worker-logs-port", "", ports.worker_logs),
        ("--triggerer-logs-port", "", ports.triggerer_logs),
    )
    for option, host, port in wanted:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except (OSError, OverflowError) as error:
                raise BadInput(option, port, f"a port that is free ({error})") from error


class LocalAirflow:
    """The running components."""

    def __init__(self, settings: Settings, ports: Ports) -> None:
        self._logs = settings.logs_dir
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._mark = uuid.uuid4().hex
        self._tree = ProcessTree(self._mark)
        password = Secrets.of(settings.airflow_home).admin_password
        self.client = AirflowClient(f"http://127.0.0.1:{ports.api}", ADMIN, password)

    def start(self, environment: Mapping[str, str]) -> None:
        """Start every component, each with a log of its own and out of reach of Ctrl-C."""
        for name in COMPONENTS:
            with self._log(name).open("wb") as log:
                self._processes[name] = subprocess.Popen(
                    [sys.executable, "-m", "airflow", name],
                    env={**environment, MARK_VARIABLE: self._mark},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    preexec_fn=dies_with_this_process(),
                )
            self._tree.add(self._processes[name].pid)

    def wait_until_ready(self, dag_id: str) -> None:
        """Wait until all components are healthy and the DAG can be started, and make its pool.

        Raises:
            BenchError: a component has ended, or the time is up.
        """
        deadline = time.monotonic() + _READY_TIMEOUT_S
        while not self._is_ready(dag_id):
            self.check()
            if time.monotonic() > deadline:
                raise BenchError(f"Airflow was not ready within {_READY_TIMEOUT_S:g} s: see {self._log('*')}")
            time.sleep(_LOOK_S)
        # Without it the device's tasks would wait for ever, and only a log line would say why.
        self.client.make_pool(
            DEVICE_POOL, DEVICE_POOL_SLOTS, "One device host: a measurement takes all slots"
        )

    def _is_ready(self, dag_id: str) -> bool:
        with contextlib.suppress(AirflowUnreachable):
            return (
                all(status == "healthy" for status in self.client.health().values())
                and self.client.is_paused(dag_id) is not None
            )
        return False

    def check(self) -> None:
        """Make sure that every component runs.

        Raises:
            BenchError: names the one that has ended, its last words and its log.
        """
        for name, process in self._processes.items():
            code = process.poll()
            if code is not None:
                log = self._log(name)
                words = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
                last = f"; its last words: {words[-1].strip()}" if words else ""
                raise BenchError(f"Airflow's {name} has ended (status {code}){last}; its log: {log}")

    def stop(self) -> None:
        """End all components and all that they run: in order at first, by force when that takes too long."""
        try:
            self._tree.stop(_STOP_GRACE_S)
        finally:
            for process in self._processes.values():
                process.wait()

    def _log(self, name: str) -> Path:
        return self._logs / f"up-{name}.log"


@contextmanager
def local_airflow(settings: Settings, ports: Ports, dag_id: str) -> Iterator[LocalAirflow]:
    """A ready Airflow for this block; at its end nothing of it is left running.

    Raises:
        BenchError: one runs already for this ``BENCH_HOME``, or a component did not come up.
    """
    settings.airflow_home.mkdir(parents=True, exist_ok=True)
    settings.logs_dir.mkdir(parents=True, exist_ok=True)
    with _only_one(settings), _metadata_url(settings) as metadata_url:
        environment = {**os.environ, **server_environment(settings, ports, metadata_url)}
        migrate(settings, metadata_url, environment)
        upgrade_results(settings)
        airflow = LocalAirflow(settings, ports)
        address = address_file(settings)
        try:
            airflow.start(environment)
            airflow.wait_until_ready(dag_id)
            address.write_text(airflow.client.url)
            yield airflow
        finally:
            address.unlink(missing_ok=True)
            airflow.stop()


def address_file(settings: Settings) -> Path:
    """The file that holds the URL of the local Airflow while it runs."""
    return settings.airflow_home / "address"


def migrate(settings: Settings, metadata_url: str, environment: Mapping[str, str]) -> None:
    """Bring Airflow's own tables up to date; costs nothing when they are.

    Raises:
        BenchError: it did not work; the end of its output is quoted.
    """
    stamp = settings.airflow_home / "migrated"
    airflow = version("apache-airflow")
    if stamp.exists() and stamp.read_text() == f"{airflow} {_head(metadata_url)}":
        return
    done = subprocess.run(
        [sys.executable, "-m", "airflow", "db", "migrate"],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        last = "\n  ".join(done.stdout.splitlines()[-5:])
        raise BenchError(f"Airflow's tables could not be made:\n  {last}")
    stamp.write_text(f"{airflow} {_head(metadata_url)}")


def _head(metadata_url: str) -> str | None:
    """The revision of Airflow's tables; ``None``: there are none."""
    engine = create_engine(metadata_url)
    try:
        with engine.connect() as connection:
            found: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
            return found
    except SQLAlchemyError:
        return None
    finally:
        engine.dispose()


@contextmanager
def _only_one(settings: Settings) -> Iterator[None]:
    with (settings.airflow_home / "up.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BenchError(
                f"an Airflow of {settings.home} runs already: stop that `bench up` first"
            ) from None
        yield


@contextmanager
def _metadata_url(settings: Settings) -> Iterator[str]:
    given = os.environ.get(METADATA_URL)
    if given and settings.database_url:
        yield given
        return
    with embedded_postgres(settings) as server:
        yield given or server.url(METADATA_DATABASE)
