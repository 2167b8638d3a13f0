from __future__ import annotations

import json
import stat
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

from benchlib.orchestration.airflow_environment import (
    ADMIN,
    Ports,
    Secrets,
    common_environment,
    server_environment,
)
from benchlib.settings import Settings

URL = "postgresql+psycopg2://postgres@/airflow?host=/run"
PORTS = Ports(api=18080, worker_logs=18793, triggerer_logs=18794)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.from_environment({"BENCH_HOME": str(tmp_path / "home")})


@pytest.fixture
def environment(settings: Settings) -> Mapping[str, str]:
    return server_environment(settings, PORTS, URL)


def known_options() -> set[str]:
    """The variables that Airflow and its task SDK know, read without importing them."""
    found = set()
    for package, file in (
        ("airflow", "config_templates/config.yml"),
        ("airflow", "sdk/config.yml"),
    ):
        spec = find_spec(package)
        assert spec
        assert spec.submodule_search_locations
        path = Path(next(iter(spec.submodule_search_locations))) / file
        if path.exists():
            for section, content in yaml.safe_load(path.read_text()).items():
                found |= {f"AIRFLOW__{section}__{option}".upper() for option in content["options"]}
    return found


def test_every_variable_is_one_that_airflow_reads(environment: Mapping[str, str]) -> None:
    ours = {name for name in environment if name.startswith("AIRFLOW__")}
    assert ours - known_options() == set()


def test_secrets_are_made_once_for_their_owner_alone(settings: Settings) -> None:
    first = server_environment(settings, PORTS, URL)
    assert server_environment(settings, PORTS, URL) == first
    assert len(first["AIRFLOW__API_AUTH__JWT_SECRET"]) >= 64
    for name in ("secrets.json", "passwords.json"):
        assert stat.S_IMODE((settings.airflow_home / name).stat().st_mode) == 0o600
    others = Settings.from_environment({"BENCH_HOME": str(settings.home / "other")})
    assert Secrets.of(others.airflow_home) != Secrets.of(settings.airflow_home)


def test_the_password_is_the_one_that_airflow_asks_for(
    settings: Settings, environment: Mapping[str, str]
) -> None:
    passwords = json.loads(Path(environment["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"]).read_text())
    assert passwords == {ADMIN: Secrets.kept_in(settings.airflow_home).admin_password}
    assert environment["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS"] == "admin:admin"


def test_all_ports_move_together(environment: Mapping[str, str]) -> None:
    assert environment["AIRFLOW__API__PORT"] == "18080"
    assert environment["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == "http://127.0.0.1:18080/execution/"
    assert environment["AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT"] == "18793"
    assert environment["AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT"] == "18794"
    assert environment["AIRFLOW__API__HOST"] == "127.0.0.1"


def test_tasks_find_the_project_and_the_same_home(settings: Settings) -> None:
    found = common_environment(settings, settings.airflow_home, URL)
    assert (Path(found["PYTHONPATH"]) / "benchlib" / "orchestration").is_dir()
    assert (Path(found["AIRFLOW__CORE__DAGS_FOLDER"]) / "inf2_batch_sweep.py").is_file()
    assert found["BENCH_HOME"] == str(settings.home)
