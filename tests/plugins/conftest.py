"""One Airflow API server per test session, with the pages in it, its users, and a Chromium."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Request,
    expect,
)
from sqlalchemy import Connection, Engine, create_engine, text

from benchlib.orchestration.airflow_environment import Ports, server_environment
from benchlib.orchestration.local_airflow import migrate
from benchlib.settings import PROJECT_ROOT, Settings
from benchlib.store.embedded_postgres import EmbeddedPostgres
from tests.cli.test_up import free_ports
from tests.conftest import TEMPLATE, new_database
from tests.orchestration.conftest import wait_until
from tests.plugins.nights import Nights

# As Airflow does with its folder of plugins.
sys.path.insert(0, str(PROJECT_ROOT / "plugins"))

expect.set_options(timeout=30_000)

ROLES = ("viewer", "user", "op", "admin")
"""Each is a user's name and password, too."""


@dataclass(frozen=True)
class Site:
    """A running Airflow with our pages."""

    url: str
    environment: dict[str, str]
    engine: Engine
    """On the results' database."""
    server: EmbeddedPostgres

    @property
    def pages(self) -> str:
        """Where the pages begin."""
        return f"{self.url}/bench/"

    def client(self, role: str | None = None) -> httpx.Client:
        """A program that sends a token of its own, or none."""
        headers = {"Authorization": f"Bearer {self.token(role)}"} if role else {}
        return httpx.Client(base_url=self.pages, headers=headers, trust_env=False, timeout=30)

    def token(self, role: str) -> str:
        """What Airflow gives for the password."""
        asked = {"username": role, "password": role}
        answer = httpx.post(f"{self.url}/auth/token", json=asked, trust_env=False, timeout=30)
        token: str = answer.json()["access_token"]
        return token

    def without_results(self) -> AbstractContextManager[None]:
        """For this block the database has its tables, and no rows."""
        return self._in_place_of_results(lambda _: TEMPLATE)

    def with_copy(self) -> AbstractContextManager[None]:
        """For this block the database is a copy, with which one may do as one likes."""
        return self._in_place_of_results(lambda kept: kept)

    def without_database(self) -> AbstractContextManager[None]:
        """For this block there is none of its name."""
        return self._in_place_of_results(lambda _: None)

    @contextmanager
    def _in_place_of_results(self, template_of: Callable[[str], str | None]) -> Iterator[None]:
        name = str(self.engine.url.database)
        kept = f"{name}_kept"
        admin = create_engine(self.server.url("postgres"), isolation_level="AUTOCOMMIT")
        self.engine.dispose()
        with admin.connect() as connection:
            self._rename(connection, name, kept)
            if template := template_of(kept):
                connection.execute(text(f"CREATE DATABASE {name} TEMPLATE {template}"))
            try:
                yield
            finally:
                connection.execute(text(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
                self._rename(connection, kept, name)
        admin.dispose()

    @staticmethod
    def _rename(connection: Connection, old: str, new: str) -> None:
        connection.execute(
            text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :old"), {"old": old}
        )
        connection.execute(text(f"ALTER DATABASE {old} RENAME TO {new}"))


@pytest.fixture(scope="session")
def nights() -> Nights:
    """What is stored, up to today."""
    return Nights(datetime.now(UTC).date())


@pytest.fixture(scope="session")
def site(
    postgres: EmbeddedPostgres, nights: Nights, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """Airflow with the pages over `tests.plugins.nights`; of its components only the API server runs."""
    home = tmp_path_factory.mktemp("pages")
    with new_database(postgres) as results_url, new_database(postgres, "template1") as metadata_url:
        engine = create_engine(results_url)
        nights.fill(engine)
        environment = _environment(home, results_url, metadata_url)
        migrate(Settings.from_environment(environment), metadata_url, environment)
        # Airflow knows the DAG, and a run of it, from here on.
        _airflow(environment, "dags", "reserialize")
        with _api_server(environment, home) as url:
            site = Site(url, environment, engine, postgres)
            _store_run(site, nights)
            yield site
        engine.dispose()


def _environment(home: Path, results_url: str, metadata_url: str) -> dict[str, str]:
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "BENCH"))
    }
    settings = Settings.from_environment({"BENCH_HOME": str(home)})
    settings.airflow_home.mkdir(parents=True)
    api, worker_logs, triggerer_logs = free_ports(3)
    environment = server_environment(settings, Ports(api, worker_logs, triggerer_logs), metadata_url)
    passwords = home / "passwords.json"
    passwords.write_text(json.dumps({role: role for role in ROLES}))
    return {
        **inherited,
        **environment,
        "BENCH_DATABASE_URL": results_url,
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{role}:{role}" for role in ROLES),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
    }


def _airflow(environment: dict[str, str], *arguments: str) -> None:
    command = [sys.executable, "-m", "airflow", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


@contextmanager
def _api_server(environment: dict[str, str], home: Path) -> Iterator[str]:
    url = environment["AIRFLOW__API__BASE_URL"]
    with (home / "api-server.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "airflow", "api-server"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        wait_until(lambda: _answers(process, url), 120)
        yield url
    finally:
        # It would wait for connections that browsers keep open.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _answers(process: subprocess.Popen[bytes], url: str) -> bool:
    assert process.poll() is None, "the API server has ended"
    try:
        return httpx.get(f"{url}/api/v2/version", trust_env=False).is_success
    except httpx.TransportError:
        return False


def _store_run(site: Site, nights: Nights) -> None:
    """Let Airflow know the run of last night's main sweep; nothing runs it."""
    from tests.plugins.nights import MAIN

    run_id = nights.sweep(MAIN, 0).run_id
    headers = {"Authorization": f"Bearer {site.token('admin')}"}
    body = {"dag_run_id": run_id, "logical_date": None, "conf": {}}
    answer = httpx.post(
        f"{site.url}/api/v2/dags/{MAIN.dag_id}/dagRuns", json=body, headers=headers, trust_env=False
    )
    assert answer.is_success, answer.text


class Visit:
    """Somebody who is logged in, and all that went wrong before his eyes or left the machine."""

    def __init__(self, context: BrowserContext, site: Site) -> None:
        self.context = context
        self.page: Page = context.new_page()
        self.complaints: list[str] = []
        self.strangers: list[str] = []
        self._origin = site.url
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", self._see)

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.complaints.append(message.text)

    def _see(self, request: Request) -> None:
        if not request.url.startswith((self._origin, "data:", "blob:", "about:")):
            self.strangers.append(request.url)


@pytest.fixture(scope="session")
def sessions(site: Site, chromium: Browser) -> Callable[[str], dict[str, object]]:
    """What the browser keeps after each role logged in by Airflow's own form, which happens once."""
    kept: dict[str, dict[str, object]] = {}

    def logged_in(role: str) -> dict[str, object]:
        if role not in kept:
            context = chromium.new_context()
            page = context.new_page()
            page.goto(f"{site.url}/auth/login?next={site.pages}")
            page.get_by_label("Username").fill(role)
            page.get_by_label("Password").fill(role)
            page.get_by_role("button", name="Sign in").click()
            page.wait_for_url(f"{site.pages}**")
            kept[role] = dict(context.storage_state())
            context.close()
        return kept[role]

    return logged_in


@pytest.fixture
def visit(
    site: Site, chromium: Browser, sessions: Callable[[str], dict[str, object]]
) -> Iterator[Callable[..., Visit]]:
    """Opens a browser for somebody; in the end nothing went wrong, and no request has left the machine."""
    visits: list[Visit] = []

    def open_for(role: str = "viewer", width: int = 1280, theme: str = "light") -> Visit:
        context = chromium.new_context(
            storage_state=sessions(role),  # type: ignore[arg-type]
            viewport={"width": width, "height": 900},
            color_scheme=theme,  # type: ignore[arg-type]
        )
        visits.append(Visit(context, site))
        return visits[-1]

    yield open_for
    for each in visits:
        each.context.close()
    assert [each.complaints for each in visits if each.complaints] == []
    assert [each.strangers for each in visits if each.strangers] == []
