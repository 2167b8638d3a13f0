"""The first start of a deployment, and the same again, against real databases and Airflow's own commands."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml
from sqlalchemy import create_engine, text

from benchlib.orchestration.names import DEVICE_POOL, DEVICE_POOL_SLOTS
from benchlib.store.embedded_postgres import EmbeddedPostgres
from tests.conftest import new_database

ROOT = Path(__file__).parents[2]
FAB = "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager"


def prepare(env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "BENCH"))
    }
    return subprocess.run(
        [sys.executable, "-m", "benchlib.orchestration.deployment"],
        env={**inherited, "PYTHONPATH": str(ROOT), **env},
        capture_output=True,
        text=True,
    )


@pytest.mark.slow
def test_a_deployment_is_prepared_and_can_be_prepared_again(
    postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        airflow, bench = (stack.enter_context(new_database(postgres, "template1")) for _ in range(2))
        env = {
            "AIRFLOW_HOME": str(tmp_path / "airflow"),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": airflow,
            "AIRFLOW__CORE__AUTH_MANAGER": FAB,
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__API__SECRET_KEY": "only for this test",
            "BENCH_DATABASE_URL": bench,
            "BENCH_HOME": str(tmp_path / "home"),
        }
        hashes = []
        for password in ("first", "second"):
            done = prepare({**env, "AIRFLOW_ADMIN_PASSWORD": password})
            assert done.returncode == 0, done.stderr
            with create_engine(airflow).connect() as connection:
                users = connection.execute(text("SELECT username, password FROM ab_user")).all()
                slots = connection.scalar(
                    text("SELECT slots FROM slot_pool WHERE pool = :pool"), {"pool": DEVICE_POOL}
                )
            assert [user.username for user in users] == ["admin"]
            assert slots == DEVICE_POOL_SLOTS
            hashes.append(users[0].password)
        assert hashes[0] != hashes[1]
        with create_engine(bench).connect() as connection:
            assert connection.scalar(text("SELECT count(*) FROM comparison_table")) == 0


@pytest.mark.parametrize("missing", ["AIRFLOW_ADMIN_PASSWORD", "BENCH_DATABASE_URL"])
def test_what_is_missing_is_named_and_nothing_is_written(missing: str, tmp_path: Path) -> None:
    env = {
        "AIRFLOW_ADMIN_PASSWORD": "secret",
        "BENCH_DATABASE_URL": "postgresql+psycopg2://nobody@127.0.0.1:1/none",
        "AIRFLOW_HOME": str(tmp_path / "airflow"),
        "BENCH_HOME": str(tmp_path / "home"),
    }
    done = prepare({name: value for name, value in env.items() if name != missing})
    assert done.returncode == 2
    assert done.stderr.startswith(f"{missing}: ")
    assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_the_compose_file_holds_to_the_compose_specification() -> None:
    done = subprocess.run(
        [
            Path(sys.executable).with_name("check-jsonschema"),
            "--builtin-schema",
            "vendor.compose-spec",
            ROOT / "docker-compose.yml",
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout


def test_the_compose_file_has_every_component_and_no_secret() -> None:
    text_of_file = (ROOT / "docker-compose.yml").read_text()
    services = yaml.safe_load(text_of_file)["services"]
    components = {"api-server", "scheduler", "dag-processor", "triggerer"}
    commands = [service.get("command", [""]) for service in services.values()]
    assert components <= {command[1] for command in commands if command[0] == "airflow"}
    queues = {command[4] for command in commands if command[:3] == ["airflow", "celery", "worker"]}
    assert queues == {"default", "inf2", "${INF2_QUEUE:-inf2}"}
    for line in text_of_file.splitlines():
        if "PASSWORD" in line or "SECRET" in line or "FERNET" in line:
            assert "${" in line or line.lstrip().startswith("#"), line
    assert all("healthcheck" in service for name, service in services.items() if name != "airflow-init")
