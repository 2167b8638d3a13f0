"""Airflow's configuration for a local deployment, by environment variables alone."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from benchlib.settings import PROJECT_ROOT, Settings

METADATA_URL = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"
METADATA_DATABASE = "airflow"
ADMIN = "admin"

_JWT_SECRET_BYTES = 64  # HS512 signs with keys of that length
_PARALLEL_TASKS = 4


@dataclass(frozen=True)
class Ports:
    """The TCP ports of one local Airflow."""

    api: int = 8080
    worker_logs: int = 8793
    triggerer_logs: int = 8794


@dataclass(frozen=True)
class Secrets:
    """What one local deployment keeps to itself, generated once."""

    jwt_secret: str
    api_secret: str
    admin_password: str

    @classmethod
    def of(cls, home: Path) -> Secrets:
        """The secrets kept in ``home``, made on first use; only their owner may read them."""
        path = home / "secrets.json"
        if not path.exists():
            fresh = cls(
                secrets.token_urlsafe(_JWT_SECRET_BYTES), secrets.token_urlsafe(), secrets.token_urlsafe(9)
            )
            _write_private(path, asdict(fresh))
        return cls.kept_in(home)

    @classmethod
    def kept_in(cls, home: Path) -> Secrets:
        """The secrets that were made before; raises `FileNotFoundError` where there are none."""
        return cls(**json.loads((home / "secrets.json").read_text()))


def common_environment(settings: Settings, home: Path, metadata_url: str) -> dict[str, str]:
    """What every use of Airflow needs: its files in ``home``, our DAGs, no examples."""
    kept = Secrets.of(home)
    return {
        "AIRFLOW_HOME": str(home),
        METADATA_URL: metadata_url,
        "AIRFLOW__CORE__DAGS_FOLDER": str(PROJECT_ROOT / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(PROJECT_ROOT / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__API__SECRET_KEY": kept.api_secret,
        "AIRFLOW__API_AUTH__JWT_SECRET": kept.jwt_secret,
        # Else a task that fails is known to have failed up to 5 s later.
        "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
        "BENCH_HOME": str(settings.home),
        "PYTHONPATH": str(PROJECT_ROOT),
        "PYTHONWARNINGS": "ignore",
    }


def server_environment(settings: Settings, ports: Ports, metadata_url: str) -> dict[str, str]:
    """A whole Airflow on this machine: what its four components share."""
    home = settings.airflow_home
    passwords = home / "passwords.json"
    _write_private(passwords, {ADMIN: Secrets.of(home).admin_password})
    address = f"http://127.0.0.1:{ports.api}"
    return common_environment(settings, home, metadata_url) | {
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": str(_PARALLEL_TASKS),
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__CORE__DEFAULT_TASK_RETRY_DELAY": "30",
        # A task whose process was killed is tried again after this long; alive, it reports every second.
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "60",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{address}/execution/",
        "AIRFLOW__CORE__AUTH_MANAGER": (
            "airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager"
        ),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{ADMIN}:admin",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(ports.api),
        "AIRFLOW__API__BASE_URL": address,
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(ports.worker_logs),
        "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(ports.triggerer_logs),
    }


def _write_private(path: Path, content: Mapping[str, str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Private before it has content, and never half written.
    unfinished = path.with_suffix(".unfinished")
    unfinished.unlink(missing_ok=True)
    unfinished.touch(mode=0o600)
    unfinished.write_text(json.dumps(content))
    unfinished.replace(path)
