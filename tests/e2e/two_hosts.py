"""Run by `test_two_hosts` inside an empty network: two hosts, and cables that are pulled."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from benchlib.settings import PROJECT_ROOT
from benchlib.store.embedded_postgres import PORT, EmbeddedPostgres
from tests.cli.test_up import free_ports
from tests.e2e.fleet import OBEDIENT, Fleet, Step, fleet
from tests.e2e.networks import CONTROL, Host, host, lay_control_network, relay_command
from tests.e2e.test_fleet_faults import DETECTED_WITHIN_S, finished
from tests.orchestration.conftest import wait_until
from tests.orchestration.fake_python import write_fake_python

INSTANCE_TYPES = {"host-a": "inf2.xlarge", "host-b": "inf2.8xlarge"}

SILENCE_S = 10.0
"""A task reports every second; it is given up after 45 s."""

HONEST = """
import site
site.main()
from benchlib.backends.base import DeviceDescription
from benchlib.environment import capture
here = capture(DeviceDescription(hardware=False, device="fake", cores=1))
RESULT["environment"] = here.model_dump(mode="json")
"""
"""The result says where it was made, by the library's own word."""


@dataclass(frozen=True)
class Hosts:
    """A fleet, and its device hosts by name."""

    fleet: Fleet
    by_name: Mapping[str, Host]
    variables: Mapping[str, Mapping[str, str]]
    """What each host is told of the control plane."""

    def of(self, step: Step) -> Host:
        """Where a step of the data plane runs."""
        (found,) = [up for up in self.by_name.values() if up.runs(step.pid)]
        return found

    def spooled(self, up: Host) -> list[Path]:
        """Results that wait on a host."""
        return list((self.fleet.home(up.name) / "spool").glob("*.json"))

    def query(self, sql: str, **values: object) -> list[tuple[Any, ...]]:
        """Ask the results' database."""
        return rows(self.fleet.environment["BENCH_DATABASE_URL"], sql, **values)

    def silence_s(self, run_id: str) -> float:
        """How long ago the run's running task was last heard of."""
        found = rows(
            self.fleet.environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"],
            "SELECT extract(epoch FROM clock_timestamp() - last_heartbeat_at) FROM task_instance "
            "WHERE run_id = :run_id AND state = 'running'",
            run_id=run_id,
        )
        return max((float(silence) for (silence,) in found), default=0.0)

    def replay(self, up: Host) -> None:
        """What docs/operations.md says to do on a host whose results wait."""
        command = [*up.enter, sys.executable, "-m", "benchlib.cli", "db", "replay"]
        subprocess.run(command, env=self.variables[up.name], cwd=PROJECT_ROOT, check=True)


def rows(url: str, sql: str, **values: object) -> list[tuple[Any, ...]]:
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(sql), values)]
    finally:
        engine.dispose()


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    lay_control_network()
    with ExitStack() as stack:
        running = stack.enter_context(fleet(tmp_path_factory.mktemp("fleet"), hosts=()))
        write_fake_python(running.folder / "python", HONEST + OBEDIENT % {"folder": str(running.folder)})
        control = told_of(running)
        by_name = {
            name: stack.enter_context(host(name, number))
            for number, name in enumerate(INSTANCE_TYPES, start=1)
        }
        variables = {name: control | own_variables(running, name) for name in by_name}
        for name, up in by_name.items():
            running.start(name, [*up.enter, *worker_command(name)], **variables[name])
        yield Hosts(
            running, by_name, {name: {**running.environment, **own} for name, own in variables.items()}
        )


def told_of(running: Fleet) -> dict[str, str]:
    """Where a host finds the control plane, which listens on Unix sockets and 127.0.0.1 alone."""
    airflow, results = free_ports(2)
    api, redis = running.ports.api, running.redis_port
    sockets = {airflow: socket_of(running.airflow_server), results: socket_of(running.results_server)}
    running.start("relay", relay_command({redis: redis, api: api, **sockets}))
    airflow_url = f"postgresql+psycopg2://postgres@{CONTROL}:{airflow}/airflow"
    return {
        "BENCH_DATABASE_URL": f"postgresql+psycopg2://postgres@{CONTROL}:{results}/bench",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": airflow_url,
        "AIRFLOW__CELERY__RESULT_BACKEND": f"db+{airflow_url}",
        "AIRFLOW__CELERY__BROKER_URL": f"redis://{CONTROL}:{redis}/0",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://{CONTROL}:{api}/execution/",
    }


def socket_of(server: EmbeddedPostgres) -> Path:
    return server.socket_dir / f".s.PGSQL.{PORT}"


def own_variables(running: Fleet, name: str) -> dict[str, str]:
    return {"BENCH_HOME": str(running.home(name)), "BENCH_INSTANCE_TYPE": INSTANCE_TYPES[name]}


def worker_command(name: str) -> list[str]:
    command = [sys.executable, "-m", "airflow", "celery", "worker", "--queues", "inf2", "--concurrency", "4"]
    return [*command, "--celery-hostname", f"{name}@fleet", "--skip-serve-logs", "--without-gossip"]


def test_a_cable_that_is_out_for_a_moment_costs_nothing(hosts: Hosts) -> None:
    running, since = hosts.fleet, time.monotonic()
    hold = running.order("hold", "measure", 1)
    run_id = running.trigger([1, 2])
    struck = hosts.of(running.began("measure", 1, since))
    struck.pull_cable()
    wait_until(lambda: hosts.silence_s(run_id) > SILENCE_S, 60)
    struck.plug_in()
    hold.unlink()
    assert running.finish(run_id) == "success"
    assert running.rows(run_id) == [(1, "ok", 1), (2, "ok", 1)]
    assert set(finished(running, since).values()) == {1}


def test_what_a_host_finishes_while_it_is_cut_off_is_neither_lost_nor_doubled(hosts: Hosts) -> None:
    running, since = hosts.fleet, time.monotonic()
    hold = running.order("hold", "measure", 1)
    run_id = running.trigger([1, 2])
    cut_off = hosts.of(running.began("measure", 1, since))
    cut_off.pull_cable()
    cut_at = time.monotonic()
    hold.unlink()
    wait_until(lambda: hosts.spooled(cut_off) != [])
    again = running.began("measure", 1, cut_at)
    assert again.at - cut_at < DETECTED_WITHIN_S + 30
    cut_off.plug_in()
    assert running.finish(run_id) == "success"

    hosts.replay(cut_off)
    assert hosts.spooled(cut_off) == []
    assert running.rows(run_id) == [(1, "ok", 1), (1, "ok", 2), (2, "ok", 1)]
    made_by = hosts.query(
        "SELECT attempt, host FROM measurement JOIN environment USING (environment_id) "
        "JOIN sweep USING (sweep_id) WHERE run_id = :run_id AND batch_size = 1 ORDER BY attempt",
        run_id=run_id,
    )
    (other,) = INSTANCE_TYPES.keys() - {cut_off.name}
    assert made_by == [(1, cut_off.name), (2, other)]
    for view in ("comparison_table", "throughput_history"):
        counted = hosts.query(
            f"SELECT batch_size FROM {view} JOIN sweep USING (sweep_id) WHERE run_id = :run_id ORDER BY 1",
            run_id=run_id,
        )
        assert counted == [(1,), (2,)], view


def test_a_series_never_mixes_instance_types(hosts: Hosts) -> None:
    """The test before has one batch size measured by both hosts."""
    found = hosts.query(
        "SELECT DISTINCT series.series_id, series.instance_type, environment.instance_type, environment.host "
        "FROM measurement JOIN environment USING (environment_id) JOIN series USING (series_id) "
        "WHERE measurement.batch_size = 1"
    )
    assert len({series_id for series_id, *_ in found}) == len(found) == len(INSTANCE_TYPES)
    assert {(host, of_series, of_result) for _, of_series, of_result, host in found} == {
        (host, instance_type, instance_type) for host, instance_type in INSTANCE_TYPES.items()
    }
