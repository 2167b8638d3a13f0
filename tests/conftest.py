"""A real PostgreSQL for whoever needs one: started once per test process, a fresh database per test."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import Engine, create_engine, text

from benchlib.settings import PROJECT_ROOT
from benchlib.store.embedded_postgres import EmbeddedPostgres
from benchlib.store.migrate import upgrade

if TYPE_CHECKING:
    from playwright.sync_api import Browser

TEMPLATE = "template_bench"
RESULTS_FINISHED = "results_finished"
RESULTS_STORED = "results_stored"
"""What a test of a fault says of the measurements that it saw."""

_numbers = count(1)


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """A running server of this test process; leave it running."""
    server = EmbeddedPostgres(tmp_path_factory.mktemp("postgres") / "data")
    server.start(databases=(TEMPLATE,))
    template = create_engine(server.url(TEMPLATE))
    upgrade(template)
    template.dispose()
    yield server
    server.stop()
    shutil.rmtree(server.data_dir)


@contextmanager
def new_database(server: EmbeddedPostgres, template: str = TEMPLATE) -> Iterator[str]:
    """The URL of a database that lives as long as the block; it has all tables, and no rows."""
    name = f"test_{next(_numbers)}"
    admin = create_engine(server.url("postgres"), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name} TEMPLATE {template}"))
        yield server.url(name)
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


@pytest.fixture
def empty_database_url(postgres: EmbeddedPostgres) -> Iterator[str]:
    """The URL of a new database without tables."""
    with new_database(postgres, "template1") as url:
        yield url


@pytest.fixture
def database_url(postgres: EmbeddedPostgres) -> Iterator[str]:
    """The URL of a new database with all tables, empty."""
    with new_database(postgres) as url:
        yield url


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """An engine on `database_url`."""
    engine = create_engine(database_url, hide_parameters=True)
    yield engine
    engine.dispose()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """A browser that cannot be told from a person's but for its lack of a window; one for a whole process."""
    from playwright.sync_api import sync_playwright

    from tests.plugins.chromium import find_chromium

    found = find_chromium(PROJECT_ROOT / ".bench" / "test-browser")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=found.path, args=["--no-sandbox"], env={**os.environ, **found.environment}
        )
        yield browser
        browser.close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many faults were tried and how many results that cost."""
    found = [
        dict(report.user_properties)
        for outcome in ("", "error")  # where pytest keeps what came of the teardown
        for report in terminalreporter.getreports(outcome)
        if report.when == "teardown"
    ]
    tried = [each for each in found if RESULTS_FINISHED in each]
    if tried:
        finished = sum(int(each[RESULTS_FINISHED]) for each in tried)
        lost = finished - sum(int(each[RESULTS_STORED]) for each in tried)
        terminalreporter.write_line(
            f"faults tried on a fleet: {len(tried)}; measurements finished: {finished}; results lost: {lost}"
        )
